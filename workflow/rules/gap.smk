"""Stage gap: log p(x) - ELBO of a trained block, taken apart image by image."""


localrules:
    gap_images,


rule gap_images:
    """List the images that the gaps of all models of a dataset are measured on."""
    input:
        dataset=rules.dataset.output.record,
    output:
        listed=GAP_IMAGES,
    log:
        "logs/gap-images/{dataset}.log",
    conda:
        ENVIRONMENT
    params:
        images=STUDY.study.gap.images,
    shell:
        "python -m comvae gap-images --dataset {input.dataset}"
        " --output {output.listed} --images {params.images} &> {log}"


rule gap:
    """Measure the gaps of one block, all of its seeds together."""
    input:
        config=rules.train.input.config,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
        dataset=rules.train.input.dataset,
    output:
        gaps=f"{EVALUATION}/gaps.parquet",
    log:
        "logs/gap/{dataset}/{model}/{hash}/{block}.log",
    benchmark:
        "logs/gap/{dataset}/{model}/{hash}/{block}.benchmark.tsv"
    conda:
        ENVIRONMENT
    threads: block_threads
    resources:
        gpu=1,
    params:
        settings=STUDY.study.gap.model_dump_json(),
    shell:
        "python -m comvae gap {input.config} --dataset {input.dataset}"
        " --output {output.gaps} --settings {params.settings:q}"
        " --threads {threads} &> {log}"
