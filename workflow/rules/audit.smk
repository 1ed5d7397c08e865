# Real data -> what an attacker finds out about its people or windows; a refuted claim fails the run.


rule audit_generator:
    input:
        paths.fill(paths.WINDOWS, study=STUDY.name, windows="generator"),
    output:
        paths.fill(paths.GENERATOR_AUDIT, study=STUDY.name),
    log:
        f"logs/{STUDY.name}/audit_generator/{GENERATOR_LOG}.log",
    benchmark:
        f"benchmarks/{STUDY.name}/audit_generator/{GENERATOR_LOG}.tsv"
    threads: STUDY.threads
    resources:
        **dag.audit_resources(PLAN, "generator"),
    params:
        script=SCRIPTS / "audit.py",
        job=lambda wildcards: dag.audit_job(PLAN, wildcards, "generator"),
    shell:
        "python {params.script} generator {input} --job {params.job:q} --out {output} 2>&1 | tee {log}"


rule audit_detector:
    input:
        real=paths.fill(paths.REAL_FEATURES, study=STUDY.name),
        synthetic=lambda wildcards: dag.audited_beside(PLAN, wildcards),
    output:
        paths.fill(paths.DETECTOR_AUDIT, study=STUDY.name),
    log:
        f"logs/{STUDY.name}/audit_detector/{{cohort}}.{{generator}}.{DETECTOR_AXES}.log",
    benchmark:
        f"benchmarks/{STUDY.name}/audit_detector/{{cohort}}.{{generator}}.{DETECTOR_AXES}.tsv"
    threads: STUDY.threads
    resources:
        **dag.audit_resources(PLAN, "detector"),
    params:
        script=SCRIPTS / "audit.py",
        job=lambda wildcards: dag.audit_job(PLAN, wildcards, "detector"),
    shell:
        "python {params.script} detector {input.real} --synthetic {input.synthetic} --job {params.job:q}"
        " --out {output} 2>&1 | tee {log}"
