"""Stage ood: how foreign the images of another dataset look to a trained block."""


rule ood:
    """Score the test images of one block, and those of a foreign dataset."""
    input:
        config=rules.train.input.config,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
        dataset=rules.train.input.dataset,
        foreign=ancient("results/datasets/{foreign}/dataset.json"),
    output:
        scores=f"{EVALUATION}/ood-{{foreign}}.parquet",
    log:
        "logs/ood/{dataset}/{model}/{hash}/{block}-{foreign}.log",
    conda:
        ENVIRONMENT
    threads: block_threads
    resources:
        gpu=1,
    params:
        settings=STUDY.study.gap.model_dump_json(),
    shell:
        "python -m comvae ood {input.config} --dataset {input.dataset}"
        " --foreign {input.foreign} --output {output.scores}"
        " --settings {params.settings:q} --threads {threads} &> {log}"
