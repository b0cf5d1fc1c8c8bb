"""The reader of results: dashboard/data.py and dashboard/runs.py."""

import math
import os
from pathlib import Path

import pandas as pd
import pytest

from comvae.errors import ResultsError
from dashboard import data, runs
from tests.dashboard.studies import FEW
from tests.results.written import write_results

# Loading


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (bytes(range(128, 256)), "is not a readable CSV table"),
        (b'a,b\n"1,2\n3', "is not a readable CSV table"),
        (b"dataset,model,seed,status\nd,m,0,finished\n", "no column `block`, `detail`"),
        (
            b"dataset,model,seed,status,block,detail\nd,m,zero,finished,b,\n",
            "column `seed` holds 'zero'",
        ),
        (
            b"dataset,model,seed,status,block,detail\n" + b"d,m,0,finished,b,\n" * 2,
            "two rows for d, m, 0",
        ),
    ],
)
def test_a_damaged_table_is_one_message(tmp_path, content, complaint):
    path = tmp_path / "cells.csv"
    path.write_bytes(content)
    with pytest.raises(ResultsError) as raised:
        data.load_table(path, data.CELLS)
    message = str(raised.value)
    assert message.startswith(str(path)) and complaint in message
    assert "make study" in message and "\n" not in message


def test_a_missing_file_is_none(tmp_path):
    assert data.load_table1(tmp_path) is None
    assert data.load_json(tmp_path / "run.json") is None
    assert data.load_bytes(tmp_path / "a.png") is None
    assert data.load_table1(tmp_path / "no" / "such" / "folder") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"null"])
def test_a_damaged_json_is_one_message(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"run\.json: .*make study"):
        data.load_json(path)


def test_a_table_is_read_once_until_its_file_changes(tmp_path):
    write_results(tmp_path, models=FEW)
    first = data.load_table1(tmp_path)
    assert data.load_table1(tmp_path) is first
    path = tmp_path / "tables" / "table1.csv"
    os.utime(path, ns=(1, 1))
    assert data.load_table1(tmp_path) is not first


def test_diverged_values_are_numbers(tmp_path):
    path = tmp_path / "history.csv"
    header = "seed,epoch,reconstruction,latent_kl,negative_elbo,weight_kl\n"
    path.write_text(header + "0,1,inf,nan,-inf,\n")
    row = data.load_table(path, data.HISTORY).iloc[0]
    assert math.isinf(row["reconstruction"]) and math.isnan(row["latent_kl"])


# The index of runs


def test_index_follows_cells_then_files(tmp_path):
    write_results(tmp_path, models=["vanilla"], seeds=[0, 1])
    write_results(tmp_path, models=["compound-mixture"], seeds=[5], tables=False)
    index = runs.load_index(tmp_path)
    assert [(run.model, run.seed, run.status) for run in index.runs] == [
        ("vanilla", 0, "finished"),
        ("vanilla", 1, "finished"),
        ("compound-mixture", 5, "evaluated"),
    ]
    assert index.title("vanilla") == "Vanilla VAE"
    assert index.title("unknown") == "unknown"
    assert not index.problems


def test_index_never_leaves_the_results(tmp_path):
    write_results(tmp_path / "results", models=["vanilla"])
    (tmp_path / "results" / "runs" / "digits" / "other").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tmp_path / "results" / "tables" / "cells.csv"
    table = pd.read_csv(path).assign(model="other", block="../../../../outside")
    table.to_csv(path, index=False)
    others = [
        r for r in runs.load_index(tmp_path / "results").runs if r.model == "other"
    ]
    assert len(others) == 3 and all(run.folder is None for run in others)


@pytest.mark.parametrize("seeds", ['"0"', "[true]", "null", "{}"])
def test_index_names_a_run_without_seeds(tmp_path, seeds):
    folder = tmp_path / "runs" / "digits" / "vanilla" / "seeds-0-0"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(f'{{"seeds": {seeds}, "options": null}}')
    index = runs.load_index(tmp_path)
    assert not index.runs
    assert "run.json: found no list `seeds`" in index.problems[0]


def test_results_folder_is_a_setting(monkeypatch):
    monkeypatch.setenv("COMVAE_RESULTS", "elsewhere")
    assert data.results_folder() == Path("elsewhere")
    monkeypatch.delenv("COMVAE_RESULTS")
    assert data.results_folder() == Path("results")
