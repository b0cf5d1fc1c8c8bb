"""Stage dataset: fetched, verified and stored once, on this machine."""


localrules:
    dataset,


rule dataset:
    """Fetch one dataset and verify it byte for byte."""
    output:
        record="results/datasets/{dataset}/dataset.json",
    log:
        "logs/dataset/{dataset}.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m comvae fetch {wildcards.dataset}"
        " --output $(dirname {output.record}) &> {log}"
