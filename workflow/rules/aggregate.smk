"""Stage aggregate: finished runs -> the study's tables."""


localrules:
    aggregate,


rule aggregate:
    """One row per run, statistics over seeds beside the paper's values, and claims."""
    input:
        plan=rules.plan.output.plan,
        metrics=all_metrics,
        gaps=all_gaps,
    output:
        runs="results/tables/runs.csv",
        table1="results/tables/table1.csv",
        gaps="results/tables/gaps.csv",
        attribution="results/tables/attribution.csv",
        claims="results/tables/claims.csv",
        cells="results/tables/cells.csv",
    log:
        "logs/aggregate.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m comvae tables &> {log}"
