# Features -> scores of every tested window, one job a detector and pack of an evaluation.
DETECTOR_AXES = "{detector}.{unit}.{epsilon_generator}.{epsilon_detector}"

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
        output:
            expand(
                paths.SCORES,
                study=STUDY.name,
                evaluation=pack.evaluation.name,
                generator=pack.generators,
                subjects=pack.subjects,
                noise=[dag.number_label(level) for level in pack.noise],
                seed=pack.seeds,
                allow_missing=True,
            ),
        log:
            f"logs/{STUDY.name}/train_detectors/{pack.name}/{DETECTOR_AXES}.log",
        benchmark:
            f"benchmarks/{STUDY.name}/train_detectors/{pack.name}/{DETECTOR_AXES}.tsv"
        wildcard_constraints:
            detector="|".join(pack.detectors),
        threads: STUDY.threads
        resources:
            **dag.detector_resources(PLAN, pack),
        params:
            script=SCRIPTS / "train_detectors.py",
            job=lambda wildcards, pack=pack: dag.detector_job(PLAN, wildcards, pack),
        # A cluster tells all processes of a job to end: the script stores its state, the others wait for it.
        shell:
            "trap '' TERM; python {params.script:q} --train {input.train:q} --test {input.test:q}"
            " --synthetic {input.synthetic:q} --job {params.job:q} --out {output:q} 2>&1 | tee {log:q}"
