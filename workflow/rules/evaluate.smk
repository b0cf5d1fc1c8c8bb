"""Stage evaluate: ELBO terms of a trained block on whole splits, and its pictures."""


rule evaluate:
    """Evaluate one block on both splits."""
    input:
        config=rules.train.input.config,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
        dataset=rules.train.input.dataset,
    output:
        metrics="results/evaluations/{dataset}/{model}/{block}/metrics.csv",
        pictures=directory("results/evaluations/{dataset}/{model}/{block}/pictures"),
    log:
        "logs/evaluate/{dataset}/{model}/{block}.log",
    conda:
        "../../environment.yml"
    threads: block_threads
    resources:
        gpu=1,
    params:
        samples=STUDY.study.evaluation.samples,
        batch_size=STUDY.study.evaluation.batch_size,
        # those that the gaps are measured on, so that the widest can be looked at
        pictured=STUDY.study.gap.images or 100,
    shell:
        "python -m comvae evaluate {input.config} --dataset {input.dataset}"
        " --output {output.metrics} --samples {params.samples}"
        " --batch-size {params.batch_size} --pictured {params.pictured}"
        " --threads {threads} &> {log}"
