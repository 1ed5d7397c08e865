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
        "python {params.script:q} generator {input:q} --job {params.job:q} --out {output:q} 2>&1 | tee {log:q}"


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
        "python {params.script:q} detector {input.real:q} --synthetic {input.synthetic:q} --job {params.job:q}"
        " --out {output:q} 2>&1 | tee {log:q}"
