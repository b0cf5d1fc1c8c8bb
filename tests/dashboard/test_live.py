"""The page Live and the progress on the first page, while blocks train and after."""

import json
import os
import re
import shutil
import time
from contextlib import ExitStack
from dataclasses import asdict

import pandas as pd
import pytest

from comvae.results.paths import evaluation_folder
from comvae.results.standing import look
from comvae.results.trail import COLUMNS, Trail
from comvae.study.lock import held
from comvae.study.run_config import load_run_config
from dashboard import progress
from tests.dashboard.studies import FEW, write_study
from tests.dashboard.visitor import (
    bars,
    buttons,
    charts,
    frame,
    show,
    table,
    text,
    warned,
)
from tests.results.written import (
    MEASURED_WITH,
    MODELS,
    OPTIONS,
    block_of,
    config_of,
    folder_of,
    write_results,
)
from tests.support import study_in

EPOCHS = 20


@pytest.fixture
def planned(results):
    """A study of three models and two blocks each, of which nothing is trained."""
    blocks = [(model, seeds) for model in FEW for seeds in ([0, 1], [2])]
    for model, seeds in blocks:
        config = config_of(model, seeds, EPOCHS)
        folder = results / "runs" / block_of(config).folder
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(config.to_json())
    study = {
        "study": "test",
        "datasets": ["digits"],
        "models": {model: OPTIONS[model].title for model in FEW},
        "tracking_uri": None,
        "gap_images": 0,
        "blocks": [
            asdict(block_of(config_of(model, seeds, EPOCHS))) for model, seeds in blocks
        ],
    }
    study_in(results).mkdir(parents=True)
    (study_in(results) / "study.json").write_text(json.dumps(study))
    return results


@pytest.fixture
def training():
    """Begins to train a block as far as its files tell, with a lock that is held."""
    with ExitStack() as locks:

        def start(root, model="vanilla", block="seeds-0-1", epochs=5, value=30.0):
            folder = folder_of(root, "runs", model, block)
            locks.enter_context(held(folder / "state"))
            leave_trail(folder, epochs, value)
            return folder

        yield start


def leave_trail(folder, epochs, value=30.0, speed=1000.0):
    """A trail by the real writer, of epochs that took images / speed seconds."""
    config = load_run_config(folder / "run.json")
    trail = Trail(folder / "state", config, images=1000, every=3600)
    for epoch in range(1, epochs + 1):
        seeds = pd.DataFrame({"seed": config.seeds, "epoch": epoch})
        values = {name: value / epoch + seeds["seed"] for name in COLUMNS[2:]}
        trail.epoch(epoch, seeds.assign(**values))
    trail._ended = trail._measured + epochs * 1000 * len(config.seeds) / speed
    trail.write()


def finish(root, model, block, seconds=20.0, failed=()):
    """What a block leaves once it is trained and evaluated."""
    folder = folder_of(root, "runs", model, block)
    record = {"failed": dict(failed), "train_seconds": seconds}
    record |= {"config_hash": "0123", "parameters": 1}
    (folder / "training.json").write_text(json.dumps(record))
    place = folder.relative_to(root / "runs")
    metrics = evaluation_folder(root, place, MEASURED_WITH) / "metrics.csv"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("")


def grow_old(folder, seconds):
    for path in (folder / "state").iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


# The page Live


def test_nothing_runs_and_everything_waits(planned):
    app = show("live")
    assert bars(app) == ["0 of 9 runs finished, 9 waiting"]
    words = text(app)
    assert "No block trains at the moment." in words
    assert "Nothing is training now." in words and app.code[0].value == "make study"
    assert not charts(app) and not app.table and not app.warning


def test_a_running_block_with_the_trail_of_the_real_writer(planned, training):
    training(planned, epochs=5)
    app = show("live")
    words = text(app)
    assert "Vanilla VAE" in words and "digits, seeds 0 to 1" in words
    assert re.search(r"Last sign of life \d+ s ago; host .*, process ", words)
    assert f"process {os.getpid()}." in words
    # 15 epochs x 2 seeds x 1000 images at 1000 images/s
    assert "Epoch 5 of 20 · about 30 s left · 1,000 images/s" in bars(app)
    assert app.get("progress")[1].proto.value == 25
    assert "0 of 9 runs finished, 2 running, 7 waiting" in bars(app)
    assert "No time left can be told yet: no block has finished." in words
    curves = frame(charts(app)[0], "value").groupby("epoch")["value"]
    assert curves.mean().tolist() == pytest.approx([30 / e + 0.5 for e in range(1, 6)])
    assert (curves.max() - curves.min()).tolist() == pytest.approx([1.0] * 5)
    alt = charts(app)[0].proto.alt
    ends = "Vanilla VAE, seeds 0 to 1 is 6.50 after epoch 5."
    assert alt == f"On digits: Negative ELBO of {ends}" and alt in words
    assert "curves-so-far-digits.csv" in buttons(app)
    assert not app.warning and "make study" not in words


def test_the_page_follows_a_block_to_its_end(planned, training):
    folder = training(planned, epochs=2)
    app = show("live")
    assert "Epoch 2 of 20" in bars(app)[1]
    leave_trail(folder, 9)
    assert "Epoch 9 of 20" in bars(app.run())[1]
    shutil.rmtree(folder / "state")
    finish(planned, "vanilla", "seeds-0-1")
    progress.forget()
    app.run()
    assert bars(app) == ["2 of 9 runs finished, 7 waiting"]
    assert table(app)["Block"].tolist() == ["Vanilla VAE, seeds 0 to 1, digits"]
    assert table(app)["What became of it"].tolist() == ["2 finished"]


def test_several_blocks_share_a_chart_and_keep_the_colour_of_their_model(
    planned, training
):
    training(planned, epochs=5)
    training(planned, block="seeds-2", epochs=3)
    training(planned, "compound-mixture", epochs=4, value=90.0)
    app = show("live")
    assert bars(app)[0] == "0 of 9 runs finished, 5 running, 4 waiting"
    assert len(bars(app)) == 4 and len(charts(app)) == 1
    assert "highest for Compound, mixture prior, seeds 0 to 1" in text(app)
    chart = json.loads(charts(app)[0].proto.spec)
    encodings = [layer["encoding"] for layer in chart["layer"]]
    scales = next(e for e in encodings if "strokeDash" in e)
    colours = scales["color"]["scale"]["range"]
    dashes = scales["strokeDash"]["scale"]["range"]
    assert colours[0] == colours[1] != colours[2]
    assert dashes[0] != dashes[1]


def test_a_block_that_has_just_begun(planned, training):
    folder = training(planned)
    for name in ("progress.json", "history.csv"):
        (folder / "state" / name).unlink()
    app = show("live")
    assert "Starting: it has told nothing yet" in bars(app)
    assert not charts(app) and not app.warning


def test_no_sign_of_life(planned, training):
    folder = training(planned)
    grow_old(folder, 600)
    app = show("live")
    [warning] = warned(app)
    assert warning.startswith(
        "Vanilla VAE, seeds 0 to 1, digits: no sign of life since"
    )
    assert "10 min ago" in warning and "make study" in warning
    assert bars(app) == ["0 of 9 runs finished, 9 waiting"]


def test_a_heartbeat_is_a_sign_of_life_in_a_long_epoch(planned, training):
    folder = training(planned)
    os.utime(folder / "state" / "progress.json", (time.time() - 600,) * 2)
    app = show("live")
    assert not app.warning and "Epoch 5 of 20" in bars(app)[1]


def test_an_interrupted_block_goes_on_later(planned, training):
    folder = training(planned)
    (folder / "state" / "lock.json").unlink()
    app = show("live")
    assert "was interrupted. `make study` goes on" in text(app)
    assert not app.warning and bars(app) == ["0 of 9 runs finished, 9 waiting"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"epoch": "many"}',
        "\x00\x01",
    ],
)
def test_a_damaged_progress_file_is_named_and_the_rest_stands(
    planned, training, content
):
    folder = training(planned)
    path = folder / "state" / "progress.json"
    path.write_text(content)
    app = show("live")
    [warning] = warned(app)
    assert str(path) in warning
    assert len(charts(app)) == 1  # its curves are told by another file


def test_failed_blocks_and_why(planned):
    finish(planned, "vanilla", "seeds-0-1", failed={"1": "negative_elbo is nan"})
    finish(planned, "vanilla", "seeds-2")
    folder = folder_of(planned, "runs", "compound-mixture", "seeds-2")
    (folder / "training.json").write_text("{")
    app = show("live")
    assert bars(app) == [
        "2 of 9 runs finished, 1 failed, 1 damaged, 5 waiting",
    ]
    failed = table(app)
    assert len(failed) == 2
    row = failed.set_index("Block").loc["Vanilla VAE, seeds 0 to 1, digits"]
    assert row["What became of it"] == (
        "1 finished, 1 failed; seed 1: negative_elbo is nan"
    )
    assert table(app, 1)["Block"].tolist() == ["Vanilla VAE, seed 2, digits"]
    assert "training.json" in warned(app)[0]


def test_reasons_are_read_also_where_the_tables_know_the_failure(results):
    write_study(results, models=FEW, failed=[("digits", "vanilla", 1)])
    app = show("live")
    assert "seed 1: negative_elbo is nan" in table(app)["What became of it"][0]
    assert bars(app) == ["8 of 9 runs finished, 1 failed"]
    assert "8 finished" not in text(app) and "make study" not in text(app)


def test_pause_and_term_are_in_the_url(planned, training):
    training(planned)
    app = show("live", updates="false", term="latent_kl")
    assert app.toggle(key="updates").value is False
    assert "updated when the page is loaded again" in text(app)
    assert "On digits: Latent KL of Vanilla VAE" in text(app)
    app.toggle(key="updates").set_value(True).run()
    assert not app.exception and "updated every 3 s" in text(app)
    app.selectbox(key="term").set_value("reconstruction").run()
    assert not app.exception and "On digits: Reconstruction of" in text(app)
    assert app.query_params["term"] == "reconstruction"


def test_more_blocks_than_fit_on_a_page(results, training):
    write_results(results, models=MODELS, seeds=[0], tables=False)
    for model in MODELS:
        for block in ("seeds-1", "seeds-2"):
            first = folder_of(results, "runs", model, "seeds-0")
            folder = first.with_name(block)
            folder.mkdir()
            config = load_run_config(first / "run.json")
            config = config.model_copy(update={"seeds": [int(block[-1])]})
            (folder / "run.json").write_text(config.to_json())
            training(results, model, block, epochs=3)
    app = show("live")
    assert len(bars(app)) == 1 + 12
    assert "And 4 more." in text(app)
    assert "Only the first 8 of 16 blocks are drawn." in text(app)


# How far the study is


def test_the_first_page_tells_progress_before_there_are_tables(planned, training):
    training(planned)
    finish(planned, "vanilla", "seeds-2", seconds=30.0)
    app = show("overview")
    assert bars(app) == ["digits: 1 of 9 runs finished, 2 running, 6 waiting"]
    # 30 s of the running block, and 6 seeds at 30 s that nobody has trained yet
    assert "About 4 min of training left, 1 block at a time" in text(app)
    assert "tables/runs.csv is not written yet" in text(app)
    [link] = app.get("page_link")
    assert link.proto.label.replace("\\", "") == "More: Live"


def test_the_first_page_tells_what_is_trained_again(results):
    write_study(results, models=FEW)
    app = show("overview")
    assert "digits: 9 of 9 runs finished; gaps measured in 9 of 9" in text(app)
    assert not bars(app), "nothing is left to wait for"
    folder = folder_of(results, "runs", "vanilla")
    (folder / "training.json").unlink()
    progress.forget()
    with held(folder / "state"):
        app = show("overview")
    assert bars(app)[0].startswith("digits: 6 of 9 runs finished, 3 running")
    assert len(app.dataframe) == 1 and "of training left" in text(app)


def test_tables_are_believed_until_files_change(results):
    write_results(results, models=FEW, failed=[("digits", "vanilla", 0)])
    folder = folder_of(results, "runs", "vanilla")
    record = folder / "training.json"
    for path in results.rglob("*.*"):
        os.utime(path, (1000, 1000))
    os.utime(study_in(results) / "tables" / "cells.csv", (2000, 2000))
    record.write_text("damaged, but written before the tables")
    os.utime(record, (1000, 1000))
    assert look(results).counts() == {"finished": 8, "failed": 1}
    record.write_text(
        json.dumps(
            {"failed": {}, "train_seconds": 1.0, "config_hash": "", "parameters": 1}
        )
    )
    os.utime(record, (3000, 3000))
    assert look(results).counts() == {"finished": 9}


def test_lost_jobs_are_missing_and_not_waiting_unless_something_runs(results, training):
    write_results(results, models=FEW, missing=[("digits", "vanilla")])
    assert look(results).counts() == {"finished": 6, "missing": 3}
    shutil.rmtree(folder_of(results, "runs", "compound-mixture"))
    write_results(
        results, models=FEW, missing=[("digits", "vanilla")], not_evaluated=[]
    )
    folder = folder_of(results, "runs", "compound-mixture")
    with held(folder / "state"):
        assert look(results).counts() == {"finished": 3, "running": 3, "waiting": 3}


@pytest.mark.parametrize(
    "blocks", ["[3]", '[{"dataset": "digits"}]', '[{"seeds": "x"}]', '[{"seeds": []}]']
)
def test_a_damaged_plan_is_named_and_the_folders_tell(planned, blocks):
    path = study_in(planned) / "study.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"blocks": json.loads(blocks)}))
    found = look(planned)
    assert "study.json" in found.problems[0]
    assert found.counts() == {"waiting": 9}
