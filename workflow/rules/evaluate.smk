"""Stage evaluate: ELBO terms of a trained block on whole splits, and its pictures."""


rule evaluate:
    """Evaluate one block on both splits."""
    input:
        config=rules.train.input.config,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
        dataset=rules.train.input.dataset,
    output:
        metrics=f"{EVALUATION}/metrics.csv",
        pictures=directory(f"{EVALUATION}/pictures"),
    log:
        "logs/evaluate/{dataset}/{model}/{hash}/{block}.log",
    conda:
        ENVIRONMENT
    threads: block_threads
    resources:
        gpu=1,
    params:
        settings=STUDY.study.evaluation.model_dump_json(),
        # those that the gaps are measured on, so that the widest can be looked at
        pictured=STUDY.study.gap.images or 100,
    shell:
        "python -m comvae evaluate {input.config} --dataset {input.dataset}"
        " --output {output.metrics} --settings {params.settings:q}"
        " --pictured {params.pictured} --threads {threads} &> {log}"
