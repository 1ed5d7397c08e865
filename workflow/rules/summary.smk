# Scores -> tables, figures and a report.


rule summarize:
    input:
        scores=PLAN.scores_paths(),
        quality=PLAN.quality_paths(),
        portraits=PLAN.portrait_paths(),
        models=PLAN.generator_paths(paths.MODELS),
        windows=dag.cohort_windows(PLAN),
        audits=audits.audit_paths(PLAN),
    output:
        tables=multiext(
            f"results/{STUDY.name}/tables/",
            "main.csv",
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
            "per_subject.pdf",
            "per_subject.png",
            "per_subject.svg",
        ),
        quality_figures=dag.quality_figures(PLAN),
        report=f"results/{STUDY.name}/report.html",
        reproduction=f"results/{STUDY.name}/reproduction.html",
        settings=f"results/{STUDY.name}/study.json",
        # What was measured and when: these two differ from run to run.
        hours=f"results/{STUDY.name}/hours.csv",
        crate=f"results/{STUDY.name}/ro-crate-metadata.json",
    log:
        f"logs/{STUDY.name}/summarize.log",
    benchmark:
        f"benchmarks/{STUDY.name}/summarize.tsv"
    threads: STUDY.threads
    resources:
        **dag.resources(PLAN),
    params:
        script=SCRIPTS / "summarize.py",
        version=identity.SUMMARY,
        # A function: Snakemake would take braces in a plain text, such as a note's, for wildcards.
        study=lambda wildcards: dag.study_json(PLAN),
    shell:
        "python {params.script:q} --study {params.study:q} > {log:q} 2>&1"
