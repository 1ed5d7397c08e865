# Scores -> tables, figures and a report.


rule summarize:
    input:
        scores=tasks.files(PLAN, "train_detectors"),
        quality=tasks.files(PLAN, "assess_quality"),
        portraits=tasks.portraits(PLAN),
        models=tasks.files(PLAN, "train_generator"),
        linear_detectors=tasks.linear_detectors(PLAN),
        windows=[
            paths.WINDOWS.format(study=STUDY.name, cohort=cohort, windows="detector")
            for cohort in STUDY.cohorts
        ],
        audits=[
            *tasks.files(PLAN, "audit_generator"),
            *tasks.files(PLAN, "audit_detector"),
            *tasks.files(PLAN, "audit_noised"),
        ],
    output:
        tables=multiext(
            f"results/{STUDY.name}/tables/",
            "main.csv",
            "columns.json",
            "main.tex",
            "main.html",
            "main.txt",
            "per_subject.csv",
            "differences.csv",
            "quality.csv",
            "spending.csv",
            "audit.csv",
            "reproduction.csv",
        ),
        ledger=f"results/{STUDY.name}/ledger.json",
        statement=f"results/{STUDY.name}/statement.txt",
        figures=multiext(
            f"results/{STUDY.name}/figures/",
            "main.pdf",
            "main.png",
            "main.svg",
            "main-column.pdf",
            "main-column.png",
            "main-column.svg",
            "per_subject.pdf",
            "per_subject.png",
            "per_subject.svg",
            "per_subject-column.pdf",
            "per_subject-column.png",
            "per_subject-column.svg",
        ),
        quality_figures=dag.quality_figures(PLAN),
        report=tasks.outputs(PLAN, "summarize"),
        reproduction=f"results/{STUDY.name}/reproduction.html",
        files=f"results/{STUDY.name}/files.html",
        settings=f"results/{STUDY.name}/study.json",
        # Measured hours and times of the run: these two files differ from run to run.
        hours=f"results/{STUDY.name}/hours.csv",
        crate=f"results/{STUDY.name}/ro-crate-metadata.json",
    log:
        paths.log(STUDY.name, "summarize"),
    benchmark:
        paths.benchmark(STUDY.name, "summarize")
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN, workflow, "summarize"),
    params:
        script=SCRIPTS / "summarize.py",
        version=identity.SUMMARY,
        # A function, because Snakemake would read braces in a plain text, such as a note, as wildcards.
        study=lambda wildcards: dag.study_json(PLAN),
    shell:
        "python {params.script:q} --study {params.study:q} > {log:q} 2>&1"
