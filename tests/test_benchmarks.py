"""The benchmarks: fair contestants, the floor's arithmetic, the table and the study.

Nothing here needs pythae or a quiet machine: no test looks at how fast anything is.
"""

import math
import sys

import pandas as pd
import pytest
import torch

from benchmarks import cases, effort, floor, harness, large, loop, study
from benchmarks.measure import measure, row_of
from comvae.engine.training import train
from tests.slow.support import copy_repository
from tests.support import MODELS, run_config, study_in

CPU = torch.device("cpu")
TERMS = ["reconstruction", "latent_kl", "weight_kl"]


@pytest.mark.parametrize(
    "model", ["vanilla", "simplified-mixture", "compound-gaussian"]
)
def test_the_plain_loop_trains_as_comvae_does(models, blobs, model):
    config = run_config(models[model], [0, 1, 2], 25, learning_rate=0.01)
    trained = train(config, blobs)
    last = []
    for seed in config.seeds:
        epochs: list[torch.Tensor] = []
        one = config.model_copy(update={"seeds": [seed]})
        vae = loop.train(one, blobs, CPU, epochs.append)
        assert vae.parameters_per_seed() == trained.vae.parameters_per_seed()
        last.append(epochs[-1])
    found = torch.stack(last).mean(0)
    ours = trained.history.query("epoch == 25")[TERMS].mean()
    assert float(found[:2].sum()) == pytest.approx(ours[TERMS[:2]].sum(), abs=0.15)
    assert float(found[2]) == pytest.approx(ours["weight_kl"], rel=0.02)


class TestFloor:
    """The least a step needs."""

    def test_counts_every_product(self, models):
        config = run_config(models["vanilla"], [0], hidden=100, latent=5)
        parameters, flops = floor.work(config, 28 * 28)
        first, other = 784 * 100, 2 * 100 * 5 + 5 * 100 + 100 * 784
        assert parameters == first + other + 100 + 2 * 5 + 100 + 784
        assert flops == 2 * 16 * (2 * first + 3 * other)  # no gradient of the image

    def test_of_a_compound_model_is_that_of_its_maps(self, models):
        config = run_config(models["compound-mixture"], [0], hidden=20, latent=2)
        parameters, flops = floor.work(config, 15 * 15)
        maps = 2 * 225 * (225 * 20 + 20)
        assert parameters == pytest.approx(maps, rel=0.02)
        assert flops == pytest.approx(2 * 2 * 16 * maps, rel=0.03)

    @pytest.mark.parametrize("bandwidth,rate", [(4e9, 1e15), (1e15, 2e9)])
    def test_is_the_larger_of_two_times(self, models, monkeypatch, bandwidth, rate):
        monkeypatch.setattr(floor, "work", lambda config, pixels: (10**6, 14 * 10**6))
        monkeypatch.setattr(floor, "copy_bandwidth", lambda size, device: bandwidth)
        monkeypatch.setattr(floor, "product_rate", lambda device: rate)
        config = run_config(models["vanilla"], [0])
        least = {"megabytes": 28, "megaflops": 14, "floor_ms": 7}
        assert floor.floor_of(config, 64, CPU) == pytest.approx(least)

    def test_rates_are_measured(self):
        assert 1e7 < floor.copy_bandwidth(2**16, CPU) < 1e13
        assert 1e8 < floor.product_rate(CPU) < 1e14


class TestClock:
    """Contestants run in alternation."""

    def test_alternates_and_changes_who_is_first(self):
        calls = []

        def contestant(name):
            return lambda: calls.append(name) or len(calls)

        rounds = harness.alternate({name: contestant(name) for name in "ABC"}, 3)
        assert "".join(calls) == "ABCBCACAB"
        assert rounds.iloc[1].to_dict() == {"B": 4, "C": 5, "A": 6}

    def test_first_epoch_is_left_out(self, monkeypatch):
        moments = iter([100.0, 101.0, 104.0])
        monkeypatch.setattr(harness, "perf_counter", lambda: next(moments))

        def training(on_epoch):
            for epoch in range(3):
                on_epoch(epoch, "rows")

        assert harness.epoch_seconds(training, 3, CPU) == 2

    def test_training_that_broke_off_is_no_measurement(self):
        with pytest.raises(RuntimeError, match="1 of 3 epochs ended"):
            harness.epoch_seconds(lambda on_epoch: on_epoch(), 3, CPU)


class TestCases:
    """The rows that are measured."""

    def test_cpu_has_all_models_on_digits_and_few_large_ones(self):
        rows = cases.cases("cpu")
        digits = [row.model for row in rows if row.dataset == "digits"]
        assert digits == [model for model in MODELS for _ in (1, 5, 20)]
        large = [(row.model, row.seeds) for row in rows if row.dataset == "mnist"]
        assert ("vanilla", 5) in large
        heavy = [row for row in large if "compound" in row[0]]
        assert heavy == [("compound-mixture", 1)]
        named = cases.cases("cpu", ["compound-gaussian"])
        datasets = ["digits", "digits", "digits", "mnist-half", "mnist"]
        assert [row.dataset for row in named] == datasets

    def test_gpu_has_all_models_at_three_sizes(self):
        rows = {(row.model, row.seeds) for row in cases.cases("cuda")}
        assert rows == {(model, seeds) for model in MODELS for seeds in (1, 5, 20)}
        rows = [row.seeds for row in cases.cases("cuda", ["vanilla"], [2, 3])]
        assert rows == [2, 3]

    def test_settings_are_the_studies(self):
        digits = cases.run_config(cases.Case("vanilla", "digits", 3, epochs=4))
        assert (digits.training.hidden, digits.training.epochs) == (32, 5)
        mnist = cases.run_config(cases.Case("vanilla", "mnist", 1))
        assert (mnist.training.hidden, mnist.training.batch_size) == (100, 32)


class TestRows:
    """The table and its files."""

    def test_ratios_are_the_medians_of_those_of_the_rounds(self):
        rounds = {"comvae": [1, 2, 1], "plain": [3, 2, 5], "pythae": [8, 8, 20]}
        rounds["jax"] = [2, 1, 3]
        row = row_of(pd.DataFrame(rounds), {"floor_ms": 0.25})
        assert (row["ms_per_step_per_seed"], row["ratio_floor"]) == (1, 4)
        assert (row["ratio_pythae"], row["ratio_plain"]) == (8, 3)
        assert (row["pythae_ms"], row["plain_ms"]) == (8, 3)
        assert (row["ratio_jax"], row["jax_ms"]) == (2, 2)
        two = pd.DataFrame({"comvae": [1.0], "plain": [2.0]})
        alone = row_of(two, {"floor_ms": 0.25})
        assert math.isnan(alone["ratio_pythae"])  # it has no such model

    def test_a_run_replaces_the_rows_of_its_device(self, tmp_path, monkeypatch):
        monkeypatch.setattr(harness, "FOLDER", tmp_path / "benchmarks")
        for device, size in (("cpu", 1), ("GPU", 2), ("cpu", 3)):
            rows = pd.DataFrame({"model": ["a"], "device": [device], "size": [size]})
            path = harness.write("-partial", rows)
        assert pd.read_csv(path).values.tolist() == [["a", "GPU", 2], ["a", "cpu", 3]]

    def test_a_row_is_measured(self, monkeypatch):
        monkeypatch.setattr("benchmarks.measure.installed", lambda peer: False)
        row = measure(cases.Case("vanilla", "digits", 2, steps=3), CPU, rounds=2)
        assert (row["dataset"], row["seeds"], row["batch_size"]) == ("digits", 2, 32)
        speed = row["images_per_second"] * row["ms_per_step_per_seed"]
        assert speed == pytest.approx(32 * 1000)
        assert row["plain_ms"] > 0 and row["floor_ms"] > 0
        assert row["torch"] == torch.__version__ and row["device"] == "cpu"


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    return copy_repository(tmp_path_factory.mktemp("now"))


class TestStudy:
    """Before and after."""

    def test_times_all_stages_and_each_model_with_the_code_of_the_folder(self, now):
        changes = {"models": ["vanilla"], "seeds": 2, "training": {"epochs": 1}}
        frame = study.compare(now, now, changes, 2, rounds=1)
        assert frame["what"].tolist() == ["make study", "vanilla"]
        assert (frame[["before", "after"]] > 0).all(axis=None)
        assert frame["ratio"].tolist() == pytest.approx(
            frame["before"] / frame["after"]
        )
        sizes = {"epochs": 1, "batch_size": 32, "hidden": 32, "latent": 5}
        assert study.work_of(now) == [sizes | {"model": "vanilla", "seeds": [0, 1]}]
        assert (
            len(pd.read_csv(study_in(now / "results") / "tables" / "runs.csv")) == 2 * 3
        )
        assert not list(now.glob("results/evaluations/**/gaps.parquet"))

    def test_says_what_a_study_that_fails_printed(self, now):
        with pytest.raises(SystemExit, match=r"seeds: (.|\n)*run\.py failed"):
            study.run(now, {"seeds": "none"}, 1)

    def test_says_that_a_revision_is_unknown(self, tmp_path):
        with pytest.raises(SystemExit, match="no-such-revision"):
            study.checkout("no-such-revision", tmp_path / "base")

    def test_refuses_to_compare_other_work(self, monkeypatch, tmp_path):
        monkeypatch.setattr(study, "work_of", lambda tree: [tree.name])
        monkeypatch.setattr(study, "run", lambda tree, *_: {"make study": 1.0})
        with pytest.raises(SystemExit, match="before trains"):
            study.compare(tmp_path / "a", tmp_path / "b", {}, 1, rounds=1)


class TestLarge:
    """Planning and aggregating."""

    def test_times_each_command(self, tmp_path):
        rows = large.measure(tmp_path, seeds=3, size=2, gap_images=5)
        commands = ["snakemake -n", "snakemake -n --quiet", "comvae tables"]
        assert [row["what"] for row in rows] == commands
        for row in rows:
            assert (row["seeds_per_block"], row["blocks"]) == (2, 16)
            assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_mb"] > 1
        runs = pd.read_csv(study_in(tmp_path / "results") / "tables" / "runs.csv")
        assert len(runs) == 8 * 3 * 3

    def test_says_that_a_command_failed(self):
        with pytest.raises(SystemExit, match="no module named nothing_there"):
            large.timed([sys.executable, "-c", "exit('no module named nothing_there')"])


class TestEffort:
    """log p(x) beside what 20 times the effort gives."""

    def test_estimates_of_a_small_model_agree(self, models, blobs):
        vae = train(run_config(models["vanilla"], [0], 1), blobs).vae
        table = effort.compared(vae, blobs, 3, 2)
        assert table["withheld"].eq(0).all() and table["more"].notna().all()
        assert table["annealed"].notna().tolist() == [True, True, False]
        assert (table["more_error"] < table["log_px_error"]).all()
        found = effort.summary(table)
        assert found["above"] == found["above_annealed"] == 0
        assert 0 < found["difference_most"] < 0.1

    def test_an_image_that_is_reported_and_off_is_counted(self):
        errors = ["log_px_error", "more_error", "annealed_error"]
        table = pd.DataFrame(
            {
                "log_px": [-1.0, math.nan, -1.0, -1.0],
                "more": [-1.0, -9.0, -1.3, -1.0],
                "annealed": [-1.0, -9.0, -1.0, -1.5],
                "withheld": [0.0, 1.0, 0.0, 0.0],
            }
        ).assign(**dict.fromkeys(errors, 0.01))
        found = effort.summary(table)
        assert (found["above"], found["above_annealed"]) == (1, 1)
        assert found["withheld"] == 0.25
        assert found["difference_most"] == pytest.approx(0.3)
        table["annealed_error"] = 0.2  # chains that do not tell
        assert effort.summary(table)["above_annealed"] == 0
