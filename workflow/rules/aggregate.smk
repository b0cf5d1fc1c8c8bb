"""Stage aggregate: finished runs -> the study's tables."""


localrules:
    aggregate,


rule aggregate:
    """One row per run, then statistics over seeds beside the paper's values."""
    input:
        plan=rules.plan.output.plan,
        metrics=all_metrics,
    output:
        runs="results/tables/runs.csv",
        table1="results/tables/table1.csv",
        cells="results/tables/cells.csv",
    log:
        "logs/aggregate.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m comvae tables &> {log}"
