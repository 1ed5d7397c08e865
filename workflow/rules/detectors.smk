# Features -> scores of every tested window, one job per detector, pair of budgets and pack of an evaluation.

for pack in PLAN.detector_packs:

    rule:
        name:
            f"train_detectors_{pack.name}"
        input:
            train=paths.fill(
                paths.REAL_FEATURES, study=STUDY.name, cohort=pack.evaluation.cohort
            ),
            test=paths.fill(
                paths.REAL_FEATURES,
                study=STUDY.name,
                cohort=pack.evaluation.tested_cohort,
            ),
            synthetic=(
                []
                if pack.train == "real"
                else expand(
                    paths.SYNTHETIC_FEATURES,
                    study=STUDY.name,
                    cohort=pack.evaluation.cohort,
                    generator=pack.generators,
                    seed=pack.seeds,
                    allow_missing=True,
                )
            ),
            public=lambda wildcards: dag.public_features(PLAN, wildcards),
            windows=dag.noised_windows(PLAN, pack),
        output:
            scores=tasks.outputs(PLAN, "train_detectors", pack),
            detectors=tasks.kept_detectors(PLAN, pack),
        log:
            paths.log(STUDY.name, "train_detectors", pack.name),
        benchmark:
            paths.benchmark(STUDY.name, "train_detectors", pack.name)
        wildcard_constraints:
            detector="|".join(pack.detectors),
        threads: STUDY.threads
        resources:
            **dag.resources(PLAN, workflow, "train_detectors", pack),
        params:
            script=SCRIPTS / "train_detectors.py",
            job=dag.job(PLAN, "train_detectors", pack),
        # A cluster sends SIGTERM to all processes of a job, a terminal SIGINT or SIGHUP. The shell ignores them and
        # waits, so that the script can store its state.
        shell:
            dag.logged(
                workflow,
                "trap '' TERM INT HUP; python {params.script:q} --train {input.train:q} --test {input.test:q}"
                " --synthetic {input.synthetic:q} --public {input.public:q}"
                " --windows {input.windows:q} --job {params.job:q}"
                " --out {output.scores:q} --detectors {output.detectors:q}",
            )
