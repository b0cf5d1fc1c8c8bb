"""Stage dataset: fetched, verified and stored once, on this machine."""


localrules:
    dataset,
    own_dataset,


ruleorder: own_dataset > dataset


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


rule own_dataset:
    """Read one dataset of the user's own and verify it."""
    input:
        unpack(own_files),
    output:
        record="results/datasets/{dataset}/dataset.json",
    log:
        "logs/dataset/{dataset}.log",
    wildcard_constraints:
        dataset="|".join(STUDY.study.datasets.files) or "(?!)",  # none
    conda:
        "../../environment.yml"
    params:
        checksum=own_checksum,
    shell:
        "python -m comvae fetch {wildcards.dataset}"
        " --train {input.train:q} --test {input.test:q}"
        " --output $(dirname {output.record}) &> {log}"
