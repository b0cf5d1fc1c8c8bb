"""The ComVAE study: datasets -> train -> evaluate, gap -> tables, MLflow, report.

snakemake --cores 8                                        config/config.yaml
snakemake --cores 8 --configfile config/mnist-cpu.yaml     another study
snakemake --cores 8 --profile slurm                        config/paper.yaml on Slurm
"""

from snakemake.utils import min_version

min_version("9.0")


# A study is one whole file: it replaces the default study and is never merged with it.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/gap.smk"
include: "workflow/rules/ood.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/report.smk"


rule all:
    """The whole study: its report, and its runs in MLflow."""
    default_target: True
    input:
        report=rules.report.output,
        tracked=rules.track.output.summary,
        # what is only on the way to a report that is there would not be made again
        plan=rules.plan.output,
        tables=rules.aggregate.output,
        trained=all_trained,
        metrics=all_metrics,
        gaps=all_gaps,
        ood=all_ood,


TO_MAKE = unfinished() if workflow.is_main_process else set()


onstart:
    run_beside_others(TO_MAKE)


onerror:
    # what did finish still gets its tables, in which the rest stands as missing
    shell("python -m comvae tables --study {NAME} || true")
