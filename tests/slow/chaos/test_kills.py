"""50 SIGKILLs of training: every resume succeeds, with the undisturbed result."""

import os
import random
import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.slow.chaos.blocks import configure, run, train, trained
from tests.slow.chaos.commands import Comvae, Done, Running
from tests.slow.forks import forking

EPOCHS = {"vanilla": 200, "compound-mixture": 8}
# when each of the kills of a model comes: after any time from the start on, once this
# process has written a checkpoint, once it writes what it has trained
MOMENTS = ["start"] * 5 + ["training"] * 16 + ["saving"] * 4
Files = set[tuple[str, int]]  # names and times
LATEST = {"start": 0.7, "training": 0.5, "saving": 0.02}  # seconds after that


def test_killed_training_ends_as_undisturbed_training_does(tmp_path):
    with ThreadPoolExecutor() as pool:
        hits = list(pool.map(lambda model: killed(tmp_path / model, model), EPOCHS))
    counts = sum(hits, Counter())
    print(counts)
    assert counts.total() == 50
    assert counts["training"] + counts["checkpoint"] >= 25, counts
    for what in ("start", "training", "checkpoint", "saving"):
        assert counts[what] >= 2, counts


def killed(folder: Path, model: str) -> Counter[str]:
    """Train one model over and over until 25 kills are done; counts what they hit."""
    choose = random.Random(f"{model} 6")
    moments = choose.sample(MOMENTS, len(MOMENTS))
    hits: Counter[str] = Counter()
    folder.mkdir()
    with forking(folder) as python:
        comvae = Comvae(python)
        undisturbed, victim = folder / "undisturbed", folder / "victim"
        training = {"epochs": EPOCHS[model], "hidden": 16, "latent": 3}
        for place in (undisturbed, victim):
            configure(comvae, place, models=[model], training=training)
        comvae.succeeds(undisturbed, *train(model, training=training))
        expected = trained(undisturbed, model)
        block = victim / run(model, training)
        while hits.total() < len(moments):
            moment = moments[hits.total()]
            every = choose.choice([0, 0.1]) if moment == "training" else 0.1
            forget_outputs(block)
            before = files(block)
            started = comvae.start(victim, *train(model, every, training))
            kill(started, block, before, moment, choose)
            was = started.wait()
            assert "Traceback" not in was.errors and "Error" not in was.errors, was
            if was.status == -signal.SIGKILL:
                hits[what_was_hit(files(block) - before, was)] += 1
            else:
                assert was.status == 0, was  # it ended first: from the beginning then
                assert trained(victim, model) == expected
        forget_outputs(block)
        comvae.succeeds(victim, *train(model, training=training))
        assert trained(victim, model) == expected
    shutil.rmtree(folder)
    return hits


def forget_outputs(block: Path) -> None:
    """As Snakemake does before every attempt."""
    for name in ("weights.safetensors", "history.csv", "training.json"):
        (block / name).unlink(missing_ok=True)


def kill(
    started: Running, block: Path, before: Files, moment: str, choose: random.Random
) -> None:
    """Kill a training at a random time after `moment`, unless it has ended before."""
    reached = {"start": "", "training": "checkpoint-", "saving": "weights."}[moment]
    while not any(reached in name for name, _ in files(block) - before):
        if started.ended(within=0.001):
            return
    if not started.ended(within=choose.uniform(0, LATEST[moment])):
        os.kill(started.pid, signal.SIGKILL)


def files(block: Path) -> Files:
    """All files of a block, those of its state among them, each with its time."""
    found = set()
    for folder, _, names in os.walk(block):  # which passes over what is just removed
        for name in names:
            with suppress(FileNotFoundError):
                found.add((name, os.stat(Path(folder, name)).st_mtime_ns))
    return found


def what_was_hit(new: Files, was: Done) -> str:
    """What a killed process was about, by the files that it has written."""
    names = {name for name, _ in new}
    if any("weights." in name for name in names):
        return "saving"
    if any(name.startswith(".checkpoint-") for name in names):
        return "checkpoint"
    return "training" if "training for" in was.errors else "start"
