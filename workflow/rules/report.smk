"""Stage report: the tables in a form to read; on demand the static site and figures."""


localrules:
    report,
    site,


ANSWER = f"{FOLDER}/report/answer.rst"

if Path(ANSWER).exists():

    report: str(Path(ANSWER).resolve())


rule report:
    """Table 1 beside the paper's, the gaps and the claims, as Markdown."""
    input:
        plan=rules.plan.output.plan,
        tables=rules.aggregate.output,
    output:
        answer=ANSWER,
        table1=report(
            f"{FOLDER}/report/table1.md",
            caption="../report/table1.rst",
            category="Tables to read",
            labels={"table": "Table 1, beside the paper's"},
        ),
        gaps=report(
            f"{FOLDER}/report/gaps.md",
            caption="../report/gaps.rst",
            category="Tables to read",
            labels={"table": "Gaps, and gains over vanilla"},
        ),
        claims=report(
            f"{FOLDER}/report/claims.md",
            caption="../report/claims.rst",
            category="Tables to read",
            labels={"table": "Claims of the paper"},
        ),
    log:
        f"logs/{NAME}/report.log",
    conda:
        ENVIRONMENT
    params:
        study=NAME,
    shell:
        "python -m comvae report --study {params.study} &> {log}"


rule site:
    """The dashboard's pages as static HTML, and its main figures; only when asked."""
    input:
        plan=rules.plan.output.plan,
        tables=rules.aggregate.output,
    output:
        # not in the report, which would have to be a .zip instead of one .html
        site=directory(f"{FOLDER}/site"),
        figures=report(
            directory(f"{FOLDER}/report/figures"),
            patterns=["{dataset}/{figure}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"dataset": "{dataset}", "figure": "{figure}"},
        ),
    log:
        f"logs/{NAME}/site.log",
    conda:
        ENVIRONMENT
    params:
        study=NAME,
    shell:
        "python -m dashboard.render --study {params.study} --output {output.site}"
        " --figures {output.figures} &> {log}"
