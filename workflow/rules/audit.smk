# Features -> what an attacker finds out about the people or windows of a detector; a refuted claim fails.


rule audit:
    input:
        paths.fill(paths.REAL_FEATURES, study=STUDY.name),
    output:
        paths.fill(paths.AUDIT, study=STUDY.name),
    log:
        f"logs/{STUDY.name}/audit/{{cohort}}.{{detector}}.{{unit}}.{{epsilon_detector}}.log",
    benchmark:
        f"benchmarks/{STUDY.name}/audit/{{cohort}}.{{detector}}.{{unit}}.{{epsilon_detector}}.tsv"
    threads: STUDY.threads
    resources:
        **dag.resources(STUDY),
    params:
        script=SCRIPTS / "audit.py",
        job=lambda wildcards: dag.audit_job(PLAN, wildcards),
    shell:
        "python {params.script} {input} --job {params.job:q} --out {output} 2>&1 | tee {log}"
