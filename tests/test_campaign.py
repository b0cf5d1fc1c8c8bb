"""The campaign of a GPU, rehearsed on a CPU: it stops, goes on, and loses nothing."""

import json

import pandas as pd
import pytest
import typer
import yaml

from benchmarks import campaign, images
from benchmarks.cases import Case
from comvae.files import sha256_of

TINY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["compound-mixture", "vanilla"],
    "seeds": 2,
    "training": {"epochs": 2, "hidden": 8, "latent": 3},
    "evaluation": {"samples": 2},
    "gap": {
        "images": 3,
        "marginal_draws": 2,
        "final_draws": 20,
        "importance_draws": 400,
        "optimum_iterations": 5,
        "ais": "off",
    },
}


@pytest.fixture
def call(tmp_path):
    """One call of the campaign in the folder `out`; gives its exit status."""
    study = tmp_path / "tiny.yaml"
    study.write_text(yaml.safe_dump(TINY))

    def one(minutes: float = 60) -> int:
        with pytest.raises(typer.Exit) as stopped:
            run(tmp_path, minutes=minutes)
        return stopped.value.exit_code

    return one


def run(folder, **options) -> None:
    """One call in `folder`, of the runs alone unless `options` say otherwise."""
    given = {"dataset": "digits", "only": "runs", "minutes": 60, "device": "cpu"}
    campaign.campaign(folder / "out", folder / "tiny.yaml", **given | options)


def test_each_model_has_a_seed_before_any_has_two(call, tmp_path, capsys):
    assert call() == 0
    order = [
        line.split(": gaps")[0][9:] for line in capsys.readouterr().err.split("\n")
    ]
    assert [text for text in order if "seed" in text] == [
        "vanilla seed 0",
        "compound-mixture seed 0",
        "vanilla seed 1",
        "compound-mixture seed 1",
    ]
    runs = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert set(runs["model"]) == {"vanilla", "compound-mixture"}
    gaps = pd.read_parquet(tmp_path / "out" / "gaps.parquet")
    assert len(gaps) == 2 * 2 * 2 * 3  # models, seeds, splits, images
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    names = {"campaign.json", "runs.csv", "gaps.parquet", "histories.csv"}
    assert set(manifest["sha256"]) == names
    for name, digest in manifest["sha256"].items():
        assert sha256_of(tmp_path / "out" / name) == digest


def test_what_is_done_is_not_done_again(call, tmp_path, capsys):
    assert call() == 0
    dates = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/runs/*/*/*")}
    capsys.readouterr()
    assert call() == 0
    assert "gaps took" not in capsys.readouterr().err
    assert dates == {path: path.stat().st_mtime_ns for path in dates}


def test_a_call_without_time_does_nothing_and_says_so(call, tmp_path, capsys):
    assert call(minutes=0) == 75
    assert "the next one goes on" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "campaign.json",
        "manifest.json",
    }


def test_a_training_that_was_stopped_goes_on_to_the_same_end(
    call, tmp_path, monkeypatch
):
    assert call() == 0
    whole = pd.read_csv(tmp_path / "out" / "runs.csv")
    (tmp_path / "out").rename(tmp_path / "whole")
    monkeypatch.setattr("comvae.engine.training.STEPS_AT_ONCE", 1)
    looks = iter([False] * 60)  # a minibatch each: within the second epoch
    monkeypatch.setattr(campaign._Clock, "over", lambda clock: next(looks, True))
    assert call() == 75
    state = tmp_path / "out" / "runs" / "vanilla" / "seed-0" / "state"
    assert list(state.glob("*.safetensors"))
    monkeypatch.undo()
    assert call() == 0
    parts = pd.read_csv(tmp_path / "out" / "runs.csv")
    same = [name for name in whole if name != "train_seconds"]
    pd.testing.assert_frame_equal(parts[same], whole[same])


def test_a_folder_of_other_settings_is_refused(call, tmp_path):
    assert call(minutes=0) == 75
    claimed = tmp_path / "out" / "campaign.json"
    other = json.loads(claimed.read_text())
    other["study"]["training"]["epochs"] = 9
    claimed.write_text(json.dumps(other))
    with pytest.raises(SystemExit, match=r"campaign\.json: is of a campaign with"):
        run(tmp_path)
    assert json.loads(claimed.read_text()) == other


@pytest.mark.parametrize(
    "changes,says",
    [({"only": "run"}, "--only: found `run`"), ({"dataset": "mnist"}, "no mnist")],
)
def test_what_it_cannot_do_is_refused(call, tmp_path, monkeypatch, changes, says):
    monkeypatch.setattr(images, "mnist", lambda side: None)
    with pytest.raises(SystemExit, match=says):
        run(tmp_path, **changes)
    assert not (tmp_path / "out").exists()


def test_the_bench_keeps_its_rows(tmp_path, monkeypatch):
    measured = []

    def measure(case, device, rounds):
        measured.append(case.model)
        return {"model": case.model, "seeds": case.seeds, "ms": 1.5}

    monkeypatch.setattr(campaign, "measure", measure)
    rows = [Case(model, "digits", 2) for model in ("vanilla", "simplified-mixture")]
    clock = campaign._Clock(60)
    for known in (rows[:1], rows, rows):
        campaign._bench(tmp_path / "bench.csv", known, 1, "cpu", clock)
    assert measured == ["vanilla", "simplified-mixture"]
    assert pd.read_csv(tmp_path / "bench.csv")["model"].tolist() == measured
