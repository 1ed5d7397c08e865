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
        main=report(
            f"results/{STUDY.name}/tables/main.html",
            caption="../report/main_table.rst",
            category="Tables",
            labels={"table": "main table", "form": "page"},
        ),
        values=[
            report(
                f"results/{STUDY.name}/tables/{name}.csv",
                caption="../report/table.rst",
                category="Tables",
                labels={"table": name.replace("_", " "), "form": "CSV"},
            )
            for name in (
                "main",
                "per_subject",
                "differences",
                "quality",
                "spending",
                "audit",
                "reproduction",
            )
        ],
        tables=multiext(
            f"results/{STUDY.name}/tables/",
            "columns.json",
            "main.tex",
            "main.txt",
        ),
        ledger=f"results/{STUDY.name}/ledger.json",
        statement=report(
            f"results/{STUDY.name}/statement.txt",
            caption="../report/statement.rst",
            category="Report",
            labels={"page": "privacy statement"},
        ),
        # A folder, because it depends on the scores which figures a study has.
        figures=report(
            directory(f"results/{STUDY.name}/figures"),
            patterns=["{figure,.+(?<!-column)}.svg"],
            caption="../report/figure.rst",
            category=dag.figure_category,
            labels={"figure": "{figure}"},
        ),
        report=report(
            tasks.outputs(PLAN, "summarize"),
            caption="../report/report.rst",
            category="Report",
            labels={"page": "report of PulseVeil"},
        ),
        reproduction=report(
            f"results/{STUDY.name}/reproduction.html",
            caption="../report/reproduction.rst",
            category="Report",
            labels={"page": "against the published study"},
        ),
        files=report(
            f"results/{STUDY.name}/files.html",
            caption="../report/files.rst",
            category="Report",
            labels={"page": "files and columns"},
        ),
        settings=f"results/{STUDY.name}/study.json",
        # Measured hours and times of the run: these two files differ from run to run.
        hours=f"results/{STUDY.name}/hours.csv",
        crate=f"results/{STUDY.name}/ro-crate-metadata.json",
    log:
        paths.log(STUDY.name, "summarize"),
    benchmark:
        paths.benchmark(STUDY.name, "summarize")
    threads: dag.summary_threads(PLAN, workflow)
    resources:
        **dag.resources(PLAN, workflow, "summarize"),
    params:
        script=SCRIPTS / "summarize.py",
        version=identity.SUMMARY,
        # A function, because Snakemake would read braces in a plain text, such as a note, as wildcards.
        study=lambda wildcards: dag.study_json(PLAN),
    shell:
        "python {params.script:q} --study {params.study:q} --processes {threads:q} > {log:q} 2>&1"
