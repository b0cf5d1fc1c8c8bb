"""Stage dataset: fetched, verified and stored once, on this machine."""


localrules:
    dataset,


rule dataset:
    """Fetch one dataset, or read the user's own, and verify it."""
    input:
        own_files,
    output:
        # not deleted before: another study may be reading it
        record=update("results/datasets/{dataset}/dataset.json"),
    log:
        "logs/dataset/{dataset}.log",
    conda:
        ENVIRONMENT
    params:
        files=own_options,
        checksum=dataset_checksum,
    shell:
        "python -m comvae fetch {wildcards.dataset} {params.files}"
        " --output $(dirname {output.record}) &> {log}"
