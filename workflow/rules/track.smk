"""Stage track: one process mirrors the finished runs into MLflow."""


localrules:
    track,


rule track:
    """Import every finished run into MLflow; what is there already stays."""
    input:
        plan=rules.plan.output.plan,
        metrics=all_metrics,
        gaps=all_gaps,
    output:
        summary="results/mlflow/imported.txt",
    log:
        "logs/track.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m comvae track > {output.summary} 2> {log}"
