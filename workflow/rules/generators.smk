# Windows -> trained generators -> synthetic windows and their features, one job per block of seeds.

for pack in PLAN.generator_packs():

    rule:
        name:
            f"train_generator_{pack.name}"
        input:
            windows=paths.fill(paths.WINDOWS, study=STUDY.name, windows="generator"),
            public=lambda wildcards: dag.public_windows(PLAN, wildcards),
        output:
            tasks.outputs(PLAN, "train_generator", pack),
        log:
            paths.log(STUDY.name, "train_generator", pack.name),
        benchmark:
            paths.benchmark(STUDY.name, "train_generator", pack.name)
        threads: STUDY.threads
        resources:
            **dag.resources(PLAN, workflow, "train_generator", pack),
        params:
            script=SCRIPTS / "train_generator.py",
            job=dag.job(PLAN, "train_generator", pack),
        # A cluster sends SIGTERM to all processes of a job, a terminal SIGINT or SIGHUP. The shell ignores them and
        # waits, so that the script can store its state.
        shell:
            dag.logged(
                workflow,
                "trap '' TERM INT HUP; python {params.script:q} {input.windows:q} --public {input.public:q} --job {params.job:q}"
                " --out {output:q}",
            )

    rule:
        name:
            f"synthesize_{pack.name}"
        input:
            tasks.outputs(PLAN, "train_generator", pack),
        output:
            tasks.outputs(PLAN, "synthesize", pack),
        log:
            paths.log(STUDY.name, "synthesize", pack.name),
        benchmark:
            paths.benchmark(STUDY.name, "synthesize", pack.name)
        threads: STUDY.threads
        resources:
            **dag.resources(PLAN, workflow, "synthesize", pack),
        params:
            script=SCRIPTS / "synthesize.py",
            job=dag.job(PLAN, "synthesize", pack),
        shell:
            dag.logged(
                workflow,
                "python {params.script:q} {input:q} --job {params.job:q} --out {output:q}",
            )

    rule:
        name:
            f"extract_synthetic_features_{pack.name}"
        input:
            tasks.outputs(PLAN, "synthesize", pack),
        output:
            tasks.outputs(PLAN, "extract_synthetic_features", pack),
        log:
            paths.log(STUDY.name, "extract_synthetic_features", pack.name),
        benchmark:
            paths.benchmark(STUDY.name, "extract_synthetic_features", pack.name)
        threads: STUDY.threads
        resources:
            **dag.resources(PLAN, workflow, "extract_synthetic_features", pack),
        params:
            script=SCRIPTS / "extract_features.py",
            job=dag.job(PLAN, "extract_synthetic_features", pack),
        shell:
            dag.logged(
                workflow,
                "python {params.script:q} {input:q} --job {params.job:q} --out {output:q}",
            )


for pack in PLAN.quality_packs():

    rule:
        name:
            f"assess_quality_{pack.name}"
        input:
            windows=paths.fill(paths.WINDOWS, study=STUDY.name, windows="generator"),
            models=tasks.outputs(PLAN, "train_generator", pack),
            synthetic=tasks.outputs(PLAN, "synthesize", pack),
        output:
            tables=tasks.outputs(PLAN, "assess_quality", pack),
            portrait=dag.portrait_output(PLAN, pack),
        log:
            paths.log(STUDY.name, "assess_quality", pack.name),
        benchmark:
            paths.benchmark(STUDY.name, "assess_quality", pack.name)
        threads: STUDY.threads
        resources:
            **dag.resources(PLAN, workflow, "assess_quality", pack),
        params:
            script=SCRIPTS / "assess_quality.py",
            job=dag.job(PLAN, "assess_quality", pack),
        shell:
            dag.logged(
                workflow,
                "python {params.script:q} {input.synthetic:q} --models {input.models:q} --windows {input.windows:q}"
                " --job {params.job:q} --out {output.tables:q} --portrait {output.portrait:q}",
            )
