# Recordings -> windows -> features of the real data.


rule prepare_cohort:
    input:
        lambda wildcards: dag.recordings_at_hand(PLAN, wildcards.cohort),
    output:
        paths.fill(paths.WINDOWS, study=STUDY.name),
    log:
        f"logs/{STUDY.name}/prepare_cohort/{{cohort}}.{{windows}}.log",
    benchmark:
        f"benchmarks/{STUDY.name}/prepare_cohort/{{cohort}}.{{windows}}.tsv"
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN),
    params:
        script=SCRIPTS / "prepare_cohort.py",
        job=lambda wildcards: dag.cohort_arguments(
            PLAN, wildcards.cohort, wildcards.windows
        ),
        version=lambda wildcards: dag.cohort_version(PLAN, wildcards.cohort),
    shell:
        "python {params.script:q} {params.job:q} --out {output:q} 2>&1 | tee {log:q}"


rule extract_features:
    input:
        paths.fill(paths.WINDOWS, study=STUDY.name, windows="detector"),
    output:
        paths.fill(paths.REAL_FEATURES, study=STUDY.name),
    log:
        f"logs/{STUDY.name}/extract_features/{{cohort}}.log",
    benchmark:
        f"benchmarks/{STUDY.name}/extract_features/{{cohort}}.tsv"
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN),
    params:
        script=SCRIPTS / "extract_features.py",
        job=dag.feature_arguments(PLAN),
    shell:
        "python {params.script:q} {input:q} {params.job:q} --out {output:q} 2>&1 | tee {log:q}"
