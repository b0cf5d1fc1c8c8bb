"""Stage report: the tables in a form to read."""


localrules:
    report,


rule report:
    """Table 1 beside the paper's, the gaps and the claims, as Markdown."""
    input:
        plan=rules.plan.output.plan,
        table1=rules.aggregate.output.table1,
        gaps=rules.aggregate.output.gaps,
        attribution=rules.aggregate.output.attribution,
        claims=rules.aggregate.output.claims,
        cells=rules.aggregate.output.cells,
    output:
        table1="results/report/table1.md",
        gaps="results/report/gaps.md",
        claims="results/report/claims.md",
    log:
        "logs/report.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m comvae report &> {log}"
