"""Files under results/ are read whole or refused, and once until they change."""

import math
import os

import numpy as np
import pandas as pd
import pytest

from comvae.errors import ResultsError
from comvae.results import reading
from comvae.results.formats import CELLS, HISTORY, TABLE1
from comvae.results.index import load_index
from comvae.results.paths import results_folder
from comvae.results.trail import Trail, load_progress
from comvae.study.run_config import RunConfig
from comvae.study.settings import Training
from tests.results.written import OPTIONS, folder_of, write_results
from tests.support import study_in

HISTORY_HEAD = b"seed,epoch,reconstruction,latent_kl,negative_elbo\n"


@pytest.mark.parametrize(
    "content,why",
    [
        (None, "is missing"),
        (b"", "it is empty"),
        (b"dataset,model,seed,status\nd,m,0,finished", "last line is cut off"),
        (bytes(range(128, 256)) + b"\n", "is damaged"),
        (b'dataset,model,seed,status\nd,"m,0,finished\n', "is damaged"),
        (b"dataset,model,seed,status\nd,m,0\n", "a row of 3 cells, expected 4"),
        (b"dataset,model,seed\nd,m,0\n", "has no column `status`"),
        (b"dataset,model,seed,status\nd,m,zero,finished\n", "zero"),
        (
            b"dataset,model,seed,status\n" + 2 * b"d,m,0,failed\n",
            "two rows for d, m, 0",
        ),
    ],
)
def test_a_csv_file_is_whole_or_refused(tmp_path, content, why):
    path = tmp_path / "cells.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultsError) as raised:
        reading.read_columns(path, CELLS)
    message = str(raised.value)
    assert message.startswith(str(path)) and why in message and "\n" not in message
    assert content is None or message.endswith("delete it and run the study again")


def test_columns_that_came_later_are_absent(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_bytes(b"dataset,model,seed,status,unknown\nd,m,0,finished,1\n")
    assert list(reading.read_columns(path, CELLS)) == CELLS.columns[:4]
    [row] = reading.load_table(path, CELLS).to_dict("records")
    assert list(row) == CELLS.columns
    assert list(row.values()) == ["d", "m", 0, "finished", "", "", "", ""]
    path.write_bytes(HISTORY_HEAD + b"3,1,20.5,5,25.5\n")
    [row] = reading.rows_of(reading.read_columns(path, HISTORY))
    assert list(row.values()) == [3, 1, 20.5, 5.0, 25.5] and "weight_kl" not in row
    [row] = reading.load_table(path, HISTORY).to_dict("records")
    assert math.isnan(row["weight_kl"]) and row["negative_elbo"] == 25.5


def test_diverged_values_are_numbers_and_all_digits_are_kept(tmp_path):
    path = tmp_path / "history.csv"
    values = np.random.default_rng(0).normal(0, 1e3, 200).tolist()
    lines = [f"0,{i + 2},{value!r},nan,-inf\n" for i, value in enumerate(values)]
    path.write_bytes(HISTORY_HEAD + b"0,1,inf,,5\n" + "".join(lines).encode())
    first, *rows = reading.rows_of(reading.read_columns(path, HISTORY))
    assert first["reconstruction"] == math.inf and math.isnan(first["latent_kl"])
    assert [row["reconstruction"] for row in rows] == values
    assert math.isnan(rows[0]["latent_kl"]) and rows[0]["negative_elbo"] == -math.inf


def test_text_is_kept_as_it_is(tmp_path):
    path = tmp_path / "cells.csv"
    table = pd.DataFrame([["d", "NA", 0, "null", "", 'a "b", c\nd']])
    table.to_csv(path, index=False, header=CELLS.columns[:6])
    [row] = reading.load_table(path, CELLS).itertuples(index=False)
    assert tuple(row)[:6] == ("d", "NA", 0, "null", "", 'a "b", c\nd')


def test_what_is_not_there_is_none(tmp_path):
    assert reading.load_study_table(study_in(tmp_path), "table1") is None
    assert reading.load_json(tmp_path / "run.json") is None
    assert reading.load_bytes(tmp_path / "a.png") is None
    assert reading.load_study_table(tmp_path / "no" / "such", "table1") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"null"])
def test_a_damaged_json_is_one_message(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"run\.json is damaged: .*delete it"):
        reading.load_json(path)


def test_a_file_is_read_once_until_it_changes(tmp_path):
    write_results(tmp_path, models=["vanilla"])
    first = reading.load_study_table(study_in(tmp_path), "table1")
    assert reading.load_study_table(study_in(tmp_path), "table1") is first
    path = study_in(tmp_path) / "tables" / "table1.csv"
    os.utime(path, ns=(1, 1))
    assert reading.load_study_table(study_in(tmp_path), "table1") is not first
    assert reading.load_table.anew(path, TABLE1) is not first


def test_the_index_follows_cells_then_files(tmp_path):
    write_results(tmp_path, models=["vanilla"], seeds=[0, 1])
    write_results(tmp_path, models=["compound-mixture"], seeds=[5], tables=False)
    (study_in(tmp_path) / "study.json").unlink()
    index = load_index(tmp_path)
    assert [(run.model, run.seed, run.status) for run in index.runs] == [
        ("vanilla", 0, "finished"),
        ("vanilla", 1, "finished"),
        ("compound-mixture", 5, "evaluated"),
    ]
    assert index.title("vanilla") == "Vanilla VAE"
    assert index.title("unknown") == "unknown"
    assert not index.problems


@pytest.mark.parametrize(
    "record,status,detail",
    [
        ('"failed": {"5": "it is nan"}', "failed", "it is nan"),
        ('"failed": 3', "damaged", "training.json is damaged"),
        ('"failed": {}', "evaluated", ""),
    ],
)
def test_the_index_tells_what_the_tables_do_not_know_yet(
    tmp_path, record, status, detail
):
    write_results(tmp_path, models=["vanilla"], seeds=[5], tables=False)
    path = folder_of(tmp_path, "runs", "vanilla", "seeds-5") / "training.json"
    path.write_text(path.read_text().replace('"failed": {}', record))
    [run] = load_index(tmp_path).runs
    assert run.status == status and detail in run.detail


def test_the_index_never_leaves_the_results(tmp_path):
    write_results(tmp_path / "results", models=["vanilla"])
    (tmp_path / "results" / "runs" / "digits" / "other").mkdir()
    (tmp_path / "outside").mkdir()
    path = study_in(tmp_path / "results") / "tables" / "cells.csv"
    table = pd.read_csv(path).assign(model="other", block="../../../../outside")
    table.to_csv(path, index=False)
    others = [r for r in load_index(tmp_path / "results").runs if r.model == "other"]
    assert len(others) == 3 and all(run.folder is None for run in others)


@pytest.mark.parametrize("seeds", ['"0"', "[true]", "null", "{}"])
def test_the_index_names_a_run_without_seeds(tmp_path, seeds):
    folder = tmp_path / "runs" / "digits" / "vanilla" / "0" / "seeds-0-0"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(f'{{"seeds": {seeds}, "options": null}}')
    index = load_index(tmp_path)
    assert not index.runs
    assert "run.json: found no list `seeds`" in index.problems[0]


@pytest.fixture
def progress(tmp_path):
    """The progress.json of a training of ten epochs that has begun."""
    config = RunConfig(
        dataset="digits",
        model="vanilla",
        seeds=[3, 5],
        options=OPTIONS["vanilla"],
        training=Training(epochs=10),
    )
    assert load_progress(tmp_path) is None
    Trail(tmp_path / "state", config, images=64)
    return tmp_path / "state" / "progress.json"


def test_progress_is_read_as_it_was_written(progress):
    found = load_progress(progress.parent.parent)
    assert (found.epoch, found.epochs, found.done) == (0, 10, 0)
    assert found.seeds_in_memory == [3, 5] and found.pid == os.getpid()
    assert found.images_per_second is found.seconds_left is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", '"fast"', "true", "[]"])
def test_strange_numbers_of_speed_are_left_out(progress, value):
    text = progress.read_text().replace('"seconds_left": null', '"seconds_left": 3')
    progress.write_text(text.replace('per_second": null', f'per_second": {value}'))
    found = load_progress(progress.parent.parent)
    assert found.images_per_second is None and found.seconds_left == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"epoch": null}'])
def test_damaged_progress_is_one_message(progress, content):
    progress.write_text(content)
    with pytest.raises(ResultsError, match=r"progress\.json is damaged: .*next epoch"):
        load_progress(progress.parent.parent)


def test_the_folder_of_results_is_a_setting(monkeypatch):
    monkeypatch.setenv("COMVAE_RESULTS", "elsewhere")
    assert str(results_folder()) == "elsewhere"
    monkeypatch.delenv("COMVAE_RESULTS")
    assert str(results_folder()) == "results"
