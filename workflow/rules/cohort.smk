# Recordings -> windows -> features of the real data.


rule prepare_cohort:
    input:
        lambda wildcards: dag.recordings_at_hand(PLAN, wildcards.cohort),
        beside=lambda wildcards: dag.pieces_before(PLAN, wildcards.cohort),
    output:
        windows=tasks.outputs(PLAN, "prepare_cohort"),
        page=paths.fill(paths.COHORT_PAGE, study=STUDY.name),
        pieces=paths.fill(paths.PIECES, study=STUDY.name),
    log:
        paths.log(STUDY.name, "prepare_cohort"),
    benchmark:
        paths.benchmark(STUDY.name, "prepare_cohort")
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN, workflow, "prepare_cohort"),
    params:
        script=SCRIPTS / "prepare_cohort.py",
        job=dag.job(PLAN, "prepare_cohort"),
    shell:
        dag.logged(
            workflow,
            "python {params.script:q} --job {params.job:q} --out {output.windows:q} --report {output.page:q}"
            " --pieces {output.pieces:q} --beside {input.beside:q}",
        )


rule extract_features:
    input:
        paths.fill(paths.WINDOWS, study=STUDY.name, windows="detector"),
    output:
        tasks.outputs(PLAN, "extract_features"),
    log:
        paths.log(STUDY.name, "extract_features"),
    benchmark:
        paths.benchmark(STUDY.name, "extract_features")
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN, workflow, "extract_features"),
    params:
        script=SCRIPTS / "extract_features.py",
        job=dag.job(PLAN, "extract_features"),
    shell:
        dag.logged(
            workflow,
            "python {params.script:q} {input:q} --job {params.job:q} --out {output:q}",
        )
