"""Stage report: the tables in a form to read."""


localrules:
    report,


rule report:
    """Table 1, ours beside the paper's, as Markdown."""
    input:
        plan=rules.plan.output.plan,
        table1=rules.aggregate.output.table1,
        cells=rules.aggregate.output.cells,
    output:
        markdown="results/report/table1.md",
    log:
        "logs/report.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m comvae report &> {log}"
