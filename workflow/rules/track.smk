"""Stage track: one process mirrors the finished runs into MLflow."""

from comvae.results.mlflow.note import failed_import, set_failure_aside


localrules:
    track,


# MLflow never stops a study: a failed import leaves a note as its output. The next run
# finds none, and so tries again; its date would not do, as its inputs have not changed.
set_failure_aside(RESULTS, NAME)


onsuccess:
    print(failed_import(RESULTS, NAME), end="", file=sys.stderr)


rule track:
    """Import every finished run into MLflow; what is there already stays."""
    input:
        plan=rules.plan.output.plan,
        metrics=all_metrics,
        gaps=all_gaps,
    output:
        summary=f"results/mlflow/imported/{NAME}.txt",
    log:
        f"logs/{NAME}/track.log",
    conda:
        ENVIRONMENT
    params:
        study=NAME,
    shell:
        "python -m comvae track --study {params.study} --keep-going &> {log}"
