"""Stage price: what encoding costs with each model of a study that has rivals."""


rule price:
    """Time the encoders one after the other, on one machine."""
    input:
        plan=rules.plan.output.plan,
        trained=all_trained,
        # all else that the study measures is done: nothing of it runs beside this
        metrics=all_metrics,
        gaps=all_gaps,
        ood=all_ood,
    output:
        price=f"{FOLDER}/price.csv",
    log:
        f"logs/{NAME}/price.log",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        gpu=1,
    params:
        study=NAME,
        settings=STUDY.study.evaluation.model_dump_json(),
    shell:
        "python -m comvae price --study {params.study}"
        " --settings {params.settings:q} --threads {threads} &> {log}"
