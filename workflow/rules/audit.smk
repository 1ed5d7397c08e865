# Windows or features -> attacks on the models that learn from them; a refuted claim fails the run.


rule audit_generator:
    input:
        windows=paths.fill(paths.WINDOWS, study=STUDY.name, windows="generator"),
        public=lambda wildcards: dag.public_windows(PLAN, wildcards),
    output:
        tasks.outputs(PLAN, "audit_generator"),
    log:
        paths.log(STUDY.name, "audit_generator"),
    benchmark:
        paths.benchmark(STUDY.name, "audit_generator")
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN, workflow, "audit_generator"),
    params:
        script=SCRIPTS / "audit.py",
        job=dag.job(PLAN, "audit_generator"),
    shell:
        dag.logged(
            workflow,
            "python {params.script:q} generator {input.windows:q} --public {input.public:q} --job {params.job:q}"
            " --out {output:q}",
        )


rule audit_detector:
    input:
        real=paths.fill(paths.REAL_FEATURES, study=STUDY.name),
        synthetic=lambda wildcards: dag.audited_beside(PLAN, wildcards),
    output:
        tasks.outputs(PLAN, "audit_detector"),
    log:
        paths.log(STUDY.name, "audit_detector"),
    benchmark:
        paths.benchmark(STUDY.name, "audit_detector")
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN, workflow, "audit_detector"),
    params:
        script=SCRIPTS / "audit.py",
        job=dag.job(PLAN, "audit_detector"),
    shell:
        dag.logged(
            workflow,
            "python {params.script:q} detector {input.real:q} --synthetic {input.synthetic:q} --job {params.job:q}"
            " --out {output:q}",
        )


rule audit_noised:
    input:
        lambda wildcards: dag.attacked_windows(PLAN, wildcards),
    output:
        tasks.outputs(PLAN, "audit_noised"),
    log:
        paths.log(STUDY.name, "audit_noised"),
    benchmark:
        paths.benchmark(STUDY.name, "audit_noised")
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN, workflow, "audit_noised"),
    params:
        script=SCRIPTS / "audit.py",
        job=dag.job(PLAN, "audit_noised"),
    shell:
        dag.logged(
            workflow,
            "python {params.script:q} noised {input:q} --job {params.job:q} --out {output:q}",
        )
