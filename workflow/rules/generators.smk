# Windows -> trained generators -> synthetic windows and their features, one job a block of seeds.
GENERATOR_LOG = "{cohort}.{generator}.{unit}.{epsilon_generator}"

for pack in PLAN.generator_packs():

    rule:
        name:
            f"train_generator_{pack.name}"
        input:
            paths.fill(paths.WINDOWS, study=STUDY.name, windows="generator"),
        output:
            expand(paths.MODELS, study=STUDY.name, seed=pack.seeds, allow_missing=True),
        log:
            f"logs/{STUDY.name}/train_generator/{GENERATOR_LOG}.{pack.name}.log",
        benchmark:
            f"benchmarks/{STUDY.name}/train_generator/{GENERATOR_LOG}.{pack.name}.tsv"
        threads: STUDY.threads
        resources:
            **dag.generator_resources(PLAN, pack),
        params:
            script=SCRIPTS / "train_generator.py",
            job=lambda wildcards, pack=pack: dag.generator_job(PLAN, wildcards, pack),
        # A cluster tells all processes of a job to end: the script stores its state, the others wait for it.
        shell:
            "trap '' TERM; python {params.script:q} {input:q} --job {params.job:q} --out {output:q} 2>&1 | tee {log:q}"

    rule:
        name:
            f"synthesize_{pack.name}"
        input:
            expand(paths.MODELS, study=STUDY.name, seed=pack.seeds, allow_missing=True),
        output:
            expand(
                paths.SYNTHETIC, study=STUDY.name, seed=pack.seeds, allow_missing=True
            ),
        log:
            f"logs/{STUDY.name}/synthesize/{GENERATOR_LOG}.{pack.name}.log",
        benchmark:
            f"benchmarks/{STUDY.name}/synthesize/{GENERATOR_LOG}.{pack.name}.tsv"
        threads: STUDY.threads
        resources:
            **dag.resources(PLAN),
        params:
            script=SCRIPTS / "synthesize.py",
            job=lambda wildcards: dag.synthesis_arguments(PLAN, wildcards.cohort),
        shell:
            "python {params.script:q} {input:q} {params.job:q} --out {output:q} 2>&1 | tee {log:q}"

    rule:
        name:
            f"extract_synthetic_features_{pack.name}"
        input:
            expand(
                paths.SYNTHETIC, study=STUDY.name, seed=pack.seeds, allow_missing=True
            ),
        output:
            expand(
                paths.SYNTHETIC_FEATURES,
                study=STUDY.name,
                seed=pack.seeds,
                allow_missing=True,
            ),
        log:
            f"logs/{STUDY.name}/extract_features/{GENERATOR_LOG}.{pack.name}.log",
        benchmark:
            f"benchmarks/{STUDY.name}/extract_features/{GENERATOR_LOG}.{pack.name}.tsv"
        threads: STUDY.threads
        resources:
            **dag.resources(PLAN),
        params:
            script=SCRIPTS / "extract_features.py",
            job=dag.feature_arguments(PLAN),
        shell:
            "python {params.script:q} {input:q} {params.job:q} --out {output:q} 2>&1 | tee {log:q}"


for pack in PLAN.quality_packs():

    rule:
        name:
            f"assess_quality_{pack.name}"
        input:
            windows=paths.fill(paths.WINDOWS, study=STUDY.name, windows="generator"),
            models=expand(
                paths.MODELS, study=STUDY.name, seed=pack.seeds, allow_missing=True
            ),
            synthetic=expand(
                paths.SYNTHETIC, study=STUDY.name, seed=pack.seeds, allow_missing=True
            ),
        output:
            tables=expand(
                paths.QUALITY, study=STUDY.name, seed=pack.seeds, allow_missing=True
            ),
            portrait=dag.portrait_output(PLAN, pack),
        log:
            f"logs/{STUDY.name}/assess_quality/{GENERATOR_LOG}.{pack.name}.log",
        benchmark:
            f"benchmarks/{STUDY.name}/assess_quality/{GENERATOR_LOG}.{pack.name}.tsv"
        threads: STUDY.threads
        resources:
            **dag.quality_resources(PLAN, pack),
        params:
            script=SCRIPTS / "assess_quality.py",
            job=dag.quality_arguments(),
        shell:
            "python {params.script:q} {input.synthetic:q} --models {input.models:q} --windows {input.windows:q}"
            " {params.job:q} --out {output.tables:q} --portrait {output.portrait:q} 2>&1 | tee {log:q}"
