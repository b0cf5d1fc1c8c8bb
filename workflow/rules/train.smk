"""Stage train: one job per block, whose seeds train in lockstep."""


localrules:
    plan,
    configure,


rule plan:
    """Write down what the study consists of."""
    input:
        changed=str(PLAN_CHANGED),
    output:
        plan=f"{FOLDER}/study.json",
    log:
        f"logs/{NAME}/plan.log",
    run:
        write_plan(output.plan, log[0])


rule configure:
    """Write the resolved config of one block; it changes only if its settings do."""
    output:
        config="results/runs/{dataset}/{model}/{hash}/{block}/run.json",
    log:
        "logs/configure/{dataset}/{model}/{hash}/{block}.log",
    conda:
        ENVIRONMENT
    params:
        config=block_config,
    shell:
        "printf '%s\\n' {params.config:q} > {output.config} 2> {log}"


rule train:
    """Train one block: all of its seeds in lockstep."""
    input:
        # the address says which settings and data: dates decide nothing
        config=ancient("results/runs/{dataset}/{model}/{hash}/{block}/run.json"),
        dataset=ancient("results/datasets/{dataset}/dataset.json"),
        starts_from=ancient(parents),
    output:
        weights="results/runs/{dataset}/{model}/{hash}/{block}/weights.safetensors",
        history="results/runs/{dataset}/{model}/{hash}/{block}/history.csv",
        record="results/runs/{dataset}/{model}/{hash}/{block}/training.json",
    log:
        "logs/train/{dataset}/{model}/{hash}/{block}.log",
    benchmark:
        "logs/train/{dataset}/{model}/{hash}/{block}.benchmark.tsv"
    priority: 1  # long jobs first: the short ones fill the gaps at the end
    conda:
        ENVIRONMENT
    threads: block_threads
    resources:
        gpu=1,
    shell:
        # exec: a shell in between would die of the signal that asks for a checkpoint.
        # Checkpoints are no output: those are deleted before the next attempt.
        "exec python -m comvae train {input.config} --dataset {input.dataset}"
        " --threads {threads} &> {log}"
