"""Finished blocks as they are imported into MLflow, and what the store then holds."""

import zlib
from pathlib import Path

from tests.results import written

TERMS = ["reconstruction", "latent_kl", "negative_elbo", "weight_kl"]
EPOCHS = 3
# How the import keeps order among its runs; another import writes other values.
OWN_TAGS = ("comvae.generation", "comvae.import")


def value(seed, *parts):
    """A number that tells every cell of the synthetic tables apart."""
    return 100 * seed + zlib.crc32(repr(parts).encode()) / 2**32


def terms(seed, split, when):
    parts = (when,) if split == "train-running" else (split, when)
    return {term: value(seed, term, *parts) for term in TERMS}


def write_block(results, model, seeds, failed=None):
    """A finished block as its stages leave it; returns its folder."""
    config = written.config_of(model, seeds, EPOCHS)
    files = written.write_block(
        results,
        config,
        terms,
        failed=failed,
        git_commit="0123abc",
        device="cpu",
        train_seconds=20.0,
        parameters=4711,
        versions={"torch": "2.14.1"},
        finished_at="2026-01-02T03:04:05+00:00",
    )
    for seed in seeds:
        for kind in ("reconstructions", "samples"):
            path = files.evaluation / "pictures" / f"seed-{seed}-{kind}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"{model} {seed} {kind}".encode())
    return files.run


def write_gaps(results, model="vanilla", seeds=(0, 1)):
    """The gaps of a block as `comvae gap` leaves them; returns their path."""
    config = written.config_of(model, seeds, EPOCHS)
    folder = written.evaluation_of(results, written.block_of(config))
    written.write_gaps(folder, seeds, place=0)
    return folder / "gaps.parquet"


def write_study(results):
    write_block(results, "vanilla", [0, 1])
    write_block(results, "compound-mixture", [0, 1])
    return results


def client(results):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{results}/mlflow/mlflow.db")


def active_runs(results):
    """The active runs of all experiments, by name; a name stands once."""
    there = client(results)
    ids = [experiment.experiment_id for experiment in there.search_experiments()]
    runs = there.search_runs(ids)
    by_name = {run.info.run_name: run for run in runs}
    assert len(by_name) == len(runs), sorted(run.info.run_name for run in runs)
    return by_name


def ids(results):
    return {name: run.info.run_id for name, run in active_runs(results).items()}


def content(results):
    """All that a user can read from the store, but for ids and places."""
    there, found = client(results), {}
    for name, run in active_runs(results).items():
        run_id = run.info.run_id
        artifacts = {
            file.path: Path(there.download_artifacts(run_id, file.path)).read_bytes()
            for file in there.list_artifacts(run_id)
        }
        history = {
            metric: [
                (m.step, m.value, m.timestamp)
                for m in there.get_metric_history(run_id, metric)
            ]
            for metric in run.data.metrics
        }
        tags = {k: v for k, v in run.data.tags.items() if k not in OWN_TAGS}
        times = run.info.status, run.info.start_time, run.info.end_time
        found[name] = (run.data.params, history, tags, artifacts, times)
    return found


def edit(path, old, new):
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1))
