"""The ComVAE study: datasets -> train -> evaluate, gap -> tables, MLflow, report.

snakemake --cores 8                                        config/config.yaml
snakemake --cores 8 --configfile config/mnist-cpu.yaml     another study
snakemake --cores 8 --profile slurm                        config/paper.yaml on Slurm
"""


include: "workflow/Snakefile"


workflow.default_target = "all"  # what is included has none
