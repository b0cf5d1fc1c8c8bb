"""The stages of the workflow as commands, without Snakemake."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from comvae.cli.command import Models, Results, Study, command, read_plan
from comvae.errors import ComvaeError, DatasetError, ResultsError, SettingsError

log = logging.getLogger("comvae")

BlockConfig = Annotated[
    Path, typer.Argument(metavar="RUN_JSON", help="A block's run.json.")
]
DatasetRecord = Annotated[
    Path, typer.Option(help="The dataset.json that `comvae fetch` wrote.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(help="`auto` takes the GPU if there is one."),
]
Threads = Annotated[
    int, typer.Option(min=0, help="CPU threads; 0 leaves the choice to PyTorch.")
]
StageSettings = Annotated[
    str,
    typer.Option(
        metavar="YAML",
        help="Settings that differ from the defaults, as a study has them for this "
        "stage, e.g. '{samples: 20}'.",
    ),
]


@command
def configure(
    study: Annotated[
        Path, typer.Argument(help="A study file, e.g. config/config.yaml")
    ],
    models: Models = Path("config/models.yaml"),
    results: Results = Path("results"),
) -> None:
    """Validate a study and write its plan and one run.json per block."""
    from comvae.files import write_text
    from comvae.study.loading import load_study
    from comvae.study.plan import (
        PLAN,
        plan_blocks,
        plan_parents,
        study_folder,
        study_json,
    )

    catalogue = load_study(source=study, models=models)
    blocks = plan_blocks(catalogue, results)
    parents = plan_parents(catalogue, blocks, results)
    folder = study_folder(results, catalogue.study.study)
    write_text(folder / PLAN, study_json(catalogue, blocks, parents))
    for block in [*parents, *blocks]:
        config = catalogue.run_config(block.dataset, block.model, list(block.seeds))
        path = results / "runs" / block.folder / "run.json"
        write_text(path, config.to_json())
        print(path)


@command
def fetch(
    dataset: Annotated[
        str, typer.Argument(help="A name from the registry, e.g. mnist")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the arrays.")],
    mirror: Annotated[
        str | None,
        typer.Option(help="Folder or base URL asked before the publishers."),
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="Training file of a dataset of your own.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Its test file.")] = None,
) -> None:
    """Fetch one dataset, verify it, and write its arrays and dataset.json."""
    from comvae.datasets.fetching import fetch as fetch_dataset
    from comvae.datasets.own import own_source
    from comvae.datasets.registry import REGISTRY
    from comvae.datasets.source import OwnFiles

    known = REGISTRY
    if train and test and dataset not in REGISTRY:
        known = {dataset: own_source(dataset, OwnFiles(train=train, test=test))}
    elif train or test:
        raise DatasetError(
            f"{dataset}: found --train {train} and --test {test}, expected both, and a "
            "name that is none of the registry's"
        )
    print(fetch_dataset(dataset, output, mirror, known))


@command
def train(
    run: BlockConfig,
    dataset: DatasetRecord,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, help="Least seconds between two checkpoints.")
    ] = 60.0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train one block, all of its seeds in lockstep; writes beside its run.json.

    SIGTERM, SIGINT and SIGUSR1 end it after the current step with exit status 75, and
    the same command goes on from there, also after a kill: with what `state/` holds.
    """
    from comvae.engine.progress import epochs_shown
    from comvae.engine.training import train as train_block
    from comvae.results.blocks import is_trained
    from comvae.results.continuing import go_on_from_longest, keep
    from comvae.results.trail import Trail
    from comvae.results.weights import device_name, load_start, save_block
    from comvae.study.lock import empty, held
    from comvae.study.signals import stop_requested

    config, data, use = _job(run, dataset, device, threads)
    what = f"{config.dataset} {config.model} {run.parent.name}"
    state = run.parent / "state"
    with stop_requested() as stop, held(state, stop) as waited:
        if waited and is_trained(run.parent, config):
            log.info("%s: trained by the process that this one waited for", run.parent)
            empty(state)
            return
        go_on_from_longest(run.parent, config, device_name(use))
        start = load_start(run.parent, config, data.train.shape[1])
        with epochs_shown(what, config.training.epochs, len(data.train)) as show:
            trail = Trail(state, config, len(data.train))

            def tell(*epoch: Any) -> None:
                show(*epoch)
                trail.epoch(*epoch)

            try:
                trained = train_block(
                    config,
                    data,
                    use,
                    tell,
                    state,
                    stop,
                    checkpoint_every,
                    trail.resumed,
                    start,
                )
            finally:
                trail.write()
        if config.training.keep_optimiser:
            keep(run.parent)
        save_block(run.parent, config, trained, use)
        empty(state)  # its checkpoints have served


@command
def evaluate(
    run: BlockConfig,
    dataset: DatasetRecord,
    output: Annotated[
        Path, typer.Option(help="The metrics.csv to write; pictures/ go beside it.")
    ],
    settings: StageSettings = "{}",
    pictured: Annotated[
        int, typer.Option(min=1, help="Test images to picture; all where fewer.")
    ] = 1000,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Evaluate one trained block on both splits, and picture its sound seeds."""
    from comvae.evaluation.elbo import evaluate as evaluate_block
    from comvae.evaluation.encoders import with_evaluated_encoder
    from comvae.evaluation.pictures import draw_pictures
    from comvae.files import write_sum
    from comvae.results.blocks import sound_seeds, write_table
    from comvae.results.pictures import write_pictures
    from comvae.results.weights import load_vae
    from comvae.study.loading import load_settings
    from comvae.study.settings import Evaluation

    chosen = load_settings(Evaluation, settings)
    config, data, use = _job(run, dataset, device, threads)
    vae = load_vae(run.parent, config, data.train.shape[1], use)
    vae = with_evaluated_encoder(vae)
    sound = sound_seeds(run.parent, config)
    pictures = draw_pictures(vae, config, data, pictured, sound, use)
    write_pictures(output.parent / "pictures", pictures)
    write_table(output, evaluate_block(vae, config, data, chosen, use))
    write_sum(output)


@command
def gap(
    run: BlockConfig,
    dataset: DatasetRecord,
    output: Annotated[Path, typer.Option(help="The gaps.parquet to write.")],
    settings: StageSettings = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Measure the gaps of one trained block, image by image; not of failed seeds.

    Of a model that is evaluated after steps of SVI, svi.csv beside them has what the
    steps gain.
    """
    from comvae.engine.progress import progress_shown
    from comvae.evaluation.encoders import with_evaluated_encoder
    from comvae.evaluation.gap import measure
    from comvae.evaluation.svi import curve
    from comvae.files import write_sum
    from comvae.results import paths
    from comvae.results.blocks import sound_seeds, write_table
    from comvae.results.gap_files import no_gaps
    from comvae.results.weights import load_vae
    from comvae.study.loading import load_settings
    from comvae.study.settings import Gap

    chosen = load_settings(Gap, settings)
    if chosen.images == 0:
        raise SettingsError(
            "--settings: images: found 0, which measures nothing; expected 1 or more"
        )
    config, data, use = _job(run, dataset, device, threads)
    gaps, seeds = no_gaps(), sound_seeds(run.parent, config)
    if seeds:
        vae = load_vae(run.parent, config, data.train.shape[1], use, seeds)
        what = f"{config.dataset} {config.model} {run.parent.name}"
        sound = config.model_copy(update={"seeds": seeds})
        if config.options.evaluated_encoder == "svi":
            steps = paths.svi(output.parent)
            write_table(steps, curve(vae, sound, data, chosen, use))
            write_sum(steps)
        vae = with_evaluated_encoder(vae)
        with progress_shown(what, "measuring the gaps") as on_progress:
            gaps = measure(vae, sound, data, chosen, use, on_progress)
    write_table(output, gaps)
    write_sum(output)


@command
def ood(
    run: BlockConfig,
    dataset: DatasetRecord,
    foreign: Annotated[
        Path, typer.Option(help="The dataset.json of the foreign dataset.")
    ],
    output: Annotated[Path, typer.Option(help="The ood-<dataset>.parquet to write.")],
    settings: StageSettings = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Score a block's test images, and those of another dataset, by how foreign they
    look."""
    import pandas as pd

    from comvae.datasets.loading import load
    from comvae.evaluation.encoders import with_evaluated_encoder
    from comvae.evaluation.ood import SCORES, score
    from comvae.files import write_sum
    from comvae.results.blocks import sound_seeds, write_table
    from comvae.results.weights import load_vae
    from comvae.study.loading import load_settings
    from comvae.study.settings import Gap

    chosen = load_settings(Gap, settings)
    config, data, use = _job(run, dataset, device, threads)
    other, seeds = load(foreign.parent, config.data), sound_seeds(run.parent, config)
    scores = pd.DataFrame(columns=["seed", "data", "image", *SCORES])
    if seeds:
        vae = load_vae(run.parent, config, data.train.shape[1], use, seeds)
        sound = config.model_copy(update={"seeds": seeds})
        scores = score(with_evaluated_encoder(vae), sound, data, other, chosen, use)
    write_table(output, scores)
    write_sum(output)


@command
def price(
    results: Results = Path("results"),
    study: Study = None,
    settings: StageSettings = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Measure what encoding with each model of a study costs, one after the other.

    Of a model, the first seed whose training did not fail. `settings` are those of the
    evaluation. Nothing else should run on the machine meanwhile.
    """
    import pandas as pd
    import torch

    from comvae.evaluation.encoders import with_evaluated_encoder
    from comvae.evaluation.price import price as price_of
    from comvae.results import paths
    from comvae.results.blocks import sound_seeds, write_table
    from comvae.results.formats import PRICE
    from comvae.results.weights import device_name, load_vae
    from comvae.study.loading import load_settings
    from comvae.study.settings import Evaluation

    chosen = load_settings(Evaluation, settings)
    plan, rows = read_plan(results, study), {}
    for block in plan.blocks:
        cell = block.dataset, block.model
        run = paths.run_folder(results, block.folder)
        record = paths.dataset_record(results, block.dataset)
        config, data, use = _job(run / paths.CONFIG, record, device, threads)
        if cell in rows or not (sound := sound_seeds(run, config)[:1]):
            continue
        vae = load_vae(run, config, data.train.shape[1], use, sound)
        one = config.model_copy(update={"seeds": sound})
        rows[cell] = dict(zip(PRICE.key, cell, strict=True)) | dict(
            **price_of(with_evaluated_encoder(vae), one, data, chosen, use),
            seed=sound[0],
            device=device_name(use),
            threads=torch.get_num_threads(),
        )
    table = pd.DataFrame(rows.values(), columns=PRICE.columns)
    write_table(paths.price(plan.folder(results)), table)


@command
def gap_images(
    dataset: DatasetRecord,
    output: Annotated[Path, typer.Option(help="The list to write, a JSON file.")],
    images: Annotated[
        int, typer.Option(min=1, help="Images of each split; all where fewer.")
    ] = 1000,
) -> None:
    """List the images of a dataset that the gaps are measured on."""
    import json

    from comvae.datasets.store import read_record
    from comvae.evaluation.gap import image_indices
    from comvae.files import write_text

    record = read_record(dataset.parent)
    chosen = {s: image_indices(count, images) for s, count in record.counts.items()}
    write_text(output, json.dumps({"dataset": record.name} | chosen))


@command
def track(
    results: Results = Path("results"),
    study: Study = None,
    uri: Annotated[
        str | None,
        typer.Option(help="MLflow tracking URI. Default: SQLite below the results."),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Where the import fails, say so in mlflow/imported/ and exit with "
            "status 0: MLflow never stops a study.",
        ),
    ] = False,
) -> None:
    """Import every finished run of the study into MLflow; again changes nothing."""
    from comvae.results.mlflow import track as import_runs
    from comvae.results.mlflow.note import failed_import, note_failure, note_import

    plan = read_plan(results, study)
    try:
        summary = import_runs(results, plan.blocks, uri or plan.tracking_uri)
    except Exception as error:
        if not keep_going:
            raise
        if not isinstance(error, ComvaeError):
            log.exception("MLflow failed in a way that this program does not know")
        print(note_failure(results, plan.study, str(error)), end="", file=sys.stderr)
        return
    print(summary)
    if keep_going or (uri is None and failed_import(results, plan.study)):
        note_import(results, plan.study, str(summary))


@command
def tables(
    results: Results = Path("results"),
    study: Study = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Fail, with all tables written, where runs are missing."
        ),
    ] = False,
) -> None:
    """Aggregate what is finished into the study's tables."""
    from comvae.results.tables import lacking, write_tables

    written = write_tables(results, read_plan(results, study))
    found = lacking(written["cells"])
    if whole and found:
        raise ResultsError("\n".join(found))


@command
def report(
    results: Results = Path("results"),
    study: Study = None,
    form: Annotated[
        Literal["latex", "markdown", "csv"] | None,
        typer.Option(
            "--format",
            help="Write each table as a file for a paper below report/<format> "
            "instead, and print its path.",
        ),
    ] = None,
) -> None:
    """Write Table 1, the gaps and the claims as Markdown, and show them."""
    from comvae.results.mlflow.note import failed_import
    from comvae.results.report import print_report, write_paper_tables

    plan = read_plan(results, study)
    if form:
        for path in write_paper_tables(results, plan, form):
            print(path)
        return
    print_report(results, plan)
    print(failed_import(results, plan.study), end="", file=sys.stderr)


def _job(run: Path, dataset: Path, device: str, threads: int) -> tuple[Any, Any, Any]:
    """Config and dataset of a job on one block, and the device that it has."""
    import torch

    from comvae.datasets.loading import load
    from comvae.datasets.store import read_record
    from comvae.results.weights import pick_device
    from comvae.study.run_config import load_run_config

    config, record = load_run_config(run), read_record(dataset.parent)
    if record.checksum and config.dataset_sha256 not in ("", record.checksum):
        raise DatasetError(
            f"{dataset}: is data with checksum {record.checksum}, expected "
            f"{config.dataset_sha256}, of {run}; fetch it again: "
            f"comvae fetch {config.dataset} --output {dataset.parent}"
        )
    data = load(dataset.parent, config.data)
    if threads:
        torch.set_num_threads(threads)
    return config, data, pick_device(device)
