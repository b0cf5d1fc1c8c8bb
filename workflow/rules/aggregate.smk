"""Stage aggregate: finished runs -> the study's tables."""


localrules:
    aggregate,


rule aggregate:
    """One row per run, statistics over seeds beside the paper's values, and claims."""
    input:
        plan=rules.plan.output.plan,
        metrics=all_metrics,
        gaps=all_gaps,
        ood=all_ood,
        price=rules.price.output if STUDY.rivals else [],
        external=[str(path) for path in find_external(RESULTS)],
    output:
        runs=f"{FOLDER}/tables/runs.csv",
        table1=report(
            f"{FOLDER}/tables/table1.csv",
            caption="../report/table1.rst",
            category="Tables as CSV",
            labels={"table": "Table 1, beside the paper's"},
        ),
        gaps=report(
            f"{FOLDER}/tables/gaps.csv",
            caption="../report/gaps.rst",
            category="Tables as CSV",
            labels={"table": "Gaps"},
        ),
        attribution=report(
            f"{FOLDER}/tables/attribution.csv",
            caption="../report/attribution.rst",
            category="Tables as CSV",
            labels={"table": "Gains over vanilla"},
        ),
        claims=report(
            f"{FOLDER}/tables/claims.csv",
            caption="../report/claims.rst",
            category="Tables as CSV",
            labels={"table": "Claims of the paper"},
        ),
        cells=f"{FOLDER}/tables/cells.csv",
        # tables of a part, which may be there already, come without it
        complete=f"{FOLDER}/tables/complete.json",
        readings=report(
            [f"{FOLDER}/tables/readings.csv"] if STUDY.readings else [],
            caption="../report/readings.rst",
            category="Tables as CSV",
            labels={"table": "Readings of the paper"},
        ),
        ood=[f"{FOLDER}/tables/ood.csv"] if STUDY.study.ood else [],
        rivals=report(
            [f"{FOLDER}/tables/rivals.csv"] if STUDY.rivals else [],
            caption="../report/rivals.rst",
            category="Tables as CSV",
            labels={"table": "Rivals, and what they cost"},
        ),
    log:
        f"logs/{NAME}/aggregate.log",
    conda:
        ENVIRONMENT
    params:
        study=NAME,
    shell:
        # with a damaged file they would count as made, and never be made again
        "python -m comvae tables --study {params.study} --whole &> {log}"
