"""The benchmarks: fair contestants, the floor's arithmetic, the table and the chart.

Nothing here needs pythae or a quiet machine: no test looks at how fast anything is.
"""

import json
import math
import sys

import pandas as pd
import pytest
import torch

from tests.support import MODELS, ROOT, run_config

sys.path.insert(0, str(ROOT))

from benchmarks import (
    cases,
    chart,
    clock,
    floor,
    large,
    loop,
    scaling,
    study,
    table,
)
from benchmarks import images as pictures
from benchmarks.measure import Measured, measure
from benchmarks.plain import log_mixture, plain_vae, weights_of_minibatches
from comvae.engine.training import train
from comvae.model.options import ModelOptions
from comvae.model.priors import ScaleMixturePrior

CPU = torch.device("cpu")
PAPER = {"hidden": 100, "latent": 5, "batch_size": 32}


def measured(model: str = "vanilla", **changes) -> Measured:
    rounds = [
        {"comvae": 1.0, "indexed": 3.0, "pythae": 8.0},
        {"comvae": 2.0, "indexed": 2.0, "pythae": 8.0},
        {"comvae": 1.0, "indexed": 5.0, "pythae": 20.0},
    ]
    values = {
        "case": cases.Case(model, "digits", seeds=3),
        "dataset": "digits",
        "batch_size": 32,
        "steps": 45,
        "images": 1437,
        "plain": "indexed",
        "rounds": rounds,
        "floor": floor.Floor(bytes=10**6, flops=1, bandwidth=4e9, rate=1e9),
    }
    return Measured(**(values | changes))


class TestPlain:
    """The plain loop trains the same models."""

    @pytest.mark.parametrize("model", MODELS)
    def test_has_as_many_parameters(self, models, blobs, model):
        config = run_config(models[model], [0], epochs=1)
        vae = train(config, blobs).vae
        plain = plain_vae(config, blobs.train.shape[1])
        assert sum(p.numel() for p in plain.parameters()) == vae.parameters_per_seed()

    @pytest.mark.parametrize("model", MODELS)
    def test_starts_with_the_same_terms(self, models, blobs, model):
        """With a learning rate of nearly zero, epochs only draw noise."""
        config = run_config(models[model], [*range(24)], 1, learning_rate=1e-12)
        history = train(config, blobs).history
        ours = history[["reconstruction", "latent_kl", "weight_kl"]].mean()
        plain = [epochs[0] for epochs in self.train_plain(config, blobs)]
        reconstruction, latent_kl, weight_kl = torch.stack(plain).mean(0).tolist()
        assert reconstruction == pytest.approx(ours["reconstruction"], rel=0.02)
        assert latent_kl == pytest.approx(ours["latent_kl"], rel=0.15)
        assert weight_kl == pytest.approx(ours["weight_kl"], rel=0.02)

    @pytest.mark.parametrize(
        "model", ["vanilla", "simplified-mixture", "compound-gaussian"]
    )
    def test_learns_as_much(self, models, blobs, model):
        config = run_config(models[model], [0, 1, 2], 25, learning_rate=0.01)
        history = train(config, blobs).history.query("epoch == 25")
        plain = self.train_plain(config, blobs)
        last = [float(epochs[-1][:2].sum()) for epochs in plain]
        assert sum(last) / 3 == pytest.approx(history["negative_elbo"].mean(), abs=0.15)

    @pytest.mark.parametrize("variant", loop.VARIANTS)
    def test_every_variant_learns(self, models, blobs, variant):
        config = run_config(models["vanilla"], [0], 10, learning_rate=0.01)
        [epochs] = self.train_plain(config, blobs, variant)
        assert epochs[-1][:2].sum() < epochs[0][:2].sum() - 1

    def test_prior_is_the_same(self):
        w = torch.linspace(-3, 3, 601)
        torch.testing.assert_close(log_mixture(w), ScaleMixturePrior().log_prob(w))

    @pytest.mark.parametrize("minibatches", [1, 2, 45, 1875])
    def test_blundell_weights_sum_to_one(self, minibatches):
        weights = weights_of_minibatches("blundell", minibatches)
        assert len(weights) == minibatches
        assert math.fsum(weights) == pytest.approx(1, rel=1e-12)

    @staticmethod
    def train_plain(config, data, variant="indexed"):
        """The terms of each epoch of each seed."""
        seeds = []
        for seed in config.seeds:
            epochs = []
            one = config.model_copy(update={"seeds": [seed]})
            loop.train(variant, one, data, CPU, on_epoch=epochs.append)
            seeds.append(epochs)
        return seeds


class TestFloor:
    """The least a step needs."""

    def test_of_a_compound_model_on_mnist(self, models):
        config = run_config(models["compound-mixture"], [0], **PAPER)
        parameters, flops = floor.work(config, 28 * 28)
        assert parameters * floor.BYTES_PER_PARAMETER == pytest.approx(3.44e9, rel=0.01)
        maps = 2 * 784 * (784 * 100 + 100)
        assert flops == pytest.approx(2 * 2 * 32 * maps, rel=0.02)

    def test_of_a_vanilla_model_counts_every_product(self, models):
        config = run_config(models["vanilla"], [0], **PAPER)
        parameters, flops = floor.work(config, 28 * 28)
        first, other = 784 * 100, 2 * 100 * 5 + 5 * 100 + 100 * 784
        assert parameters == first + other + 100 + 2 * 5 + 100 + 784
        assert flops == 2 * 32 * (2 * first + 3 * other)  # no gradient of the image

    def test_is_the_larger_of_two_times(self):
        moving = floor.Floor(bytes=3 * 10**9, flops=10**9, bandwidth=1e12, rate=1e12)
        computing = floor.Floor(bytes=10**9, flops=5 * 10**9, bandwidth=1e12, rate=1e12)
        assert moving.milliseconds == pytest.approx(3)
        assert computing.milliseconds == pytest.approx(5)

    def test_rates_are_measured(self, monkeypatch):
        monkeypatch.setattr(floor, "LEAST_SECONDS", 1e-3)
        assert 1e7 < floor.copy_bandwidth.__wrapped__(2**20, CPU) < 1e13
        assert 1e8 < floor.product_rate.__wrapped__(CPU) < 1e14


class TestClock:
    """Contestants run in alternation."""

    def test_alternates_and_changes_who_is_first(self):
        calls = []

        def contestant(name):
            return lambda: calls.append(name) or len(calls)

        rounds = clock.alternate({name: contestant(name) for name in "ABC"}, 3)
        assert "".join(calls) == "ABCBCACAB"
        assert rounds[1] == {"B": 4, "C": 5, "A": 6}
        assert [list(times) for times in rounds] == [["A", "B", "C"]] * 3

    def test_ratio_is_the_median_of_the_rounds_ratios(self):
        assert clock.median_ratio(measured().rounds, "indexed", "comvae") == 3

    def test_first_epoch_is_left_out(self):
        marks = clock.Marks(CPU)
        marks.moments = [100.0, 101.0, 104.0]
        assert marks.epoch_seconds(3) == 2

    def test_training_that_broke_off_is_no_measurement(self):
        marks = clock.Marks(CPU)
        marks(1, "rows")
        with pytest.raises(RuntimeError, match="1 of 3 epochs ended"):
            marks.epoch_seconds(3)


class TestCases:
    """The rows that are measured."""

    def test_cpu_has_all_models_on_digits_and_few_large_ones(self):
        rows = cases.cases("cpu")
        assert [row.model for row in rows if row.dataset == "digits"] == MODELS
        large = [(row.model, row.seeds) for row in rows if row.dataset == "mnist"]
        assert ("vanilla", 5) in large
        assert [row for row in large if "compound" in row[0]] == [
            ("compound-mixture", 1)
        ]
        full = {row.model for row in cases.cases("cpu", full=True) if row.steps}
        assert full == set(MODELS)

    def test_gpu_has_all_models_at_three_sizes(self):
        rows = cases.cases("cuda")
        assert {(row.model, row.seeds) for row in rows} == {
            (model, seeds) for model in MODELS for seeds in (1, 5, 20)
        }

    def test_named_models_and_seeds_only(self):
        rows = cases.cases("cuda", ["vanilla"], [2, 3])
        assert [(row.model, row.seeds) for row in rows] == [
            ("vanilla", 2),
            ("vanilla", 3),
        ]

    def test_settings_are_the_studies(self):
        digits = cases.run_config(cases.Case("vanilla", "digits", 3, epochs=4))
        assert (digits.training.hidden, digits.training.epochs) == (32, 5)
        mnist = cases.run_config(cases.Case("vanilla", "mnist", 1))
        assert (mnist.training.hidden, mnist.training.batch_size) == (100, 32)

    def test_synthetic_images_are_as_sparse_as_mnist(self):
        images = pictures.synthetic(960, 28).train
        ink = images > 0
        empty = ~ink.view(30, 32, -1).any(1)
        assert ink.float().mean() == pytest.approx(0.19, abs=0.01)
        assert (images.float() / 255).mean() == pytest.approx(0.13, abs=0.01)
        assert empty.float().mean() == pytest.approx(0.42, abs=0.03)


class TestTable:
    """The table and its files."""

    def test_columns_and_ratios(self):
        frame = table.to_frame([measured()], "cpu")
        assert ",".join(frame.columns) == (
            "model,device,dataset,seeds,batch_size,ms_per_step_per_seed,"
            "images_per_second,ratio_pythae,ratio_plain,ratio_floor"
        )
        row = frame.iloc[0]
        assert row["ms_per_step_per_seed"] == 1
        assert row["images_per_second"] == pytest.approx(1437 / 45 * 1000)
        assert (row["ratio_pythae"], row["ratio_plain"]) == (8, 3)
        assert row["ratio_floor"] == 4  # 10^6 bytes at 4 GB/s are 0.25 ms

    def test_no_ratio_to_a_peer_that_has_no_such_model(self):
        rounds = [{"comvae": 1.0, "indexed": 2.0}]
        frame = table.to_frame([measured("compound-mixture", rounds=rounds)], "cpu")
        assert frame["ratio_pythae"].isna().all()

    def test_a_run_replaces_the_rows_of_its_device(self, tmp_path):
        about = table.record([measured()], CPU)
        for device in ("cpu", "GPU", "cpu"):
            frame = table.to_frame([measured()], device)
            path = table.write(tmp_path, "host", frame, about)
        written = pd.read_csv(path)
        assert tuple(written.columns) == table.COLUMNS
        assert sorted(written["device"]) == ["GPU", "cpu"]
        abouts = json.loads((tmp_path / "host.about.json").read_text())
        assert set(abouts) == {"GPU", "cpu"}
        assert abouts["cpu"]["versions"]["torch"] in torch.__version__
        assert abouts["cpu"]["rows"][0]["rounds"][2]["pythae"] == 20

    def test_has_a_column_for_the_compiled_loop_where_there_is_one(self):
        aside = {loop.COMPILED: 1.5, "indexed": 2.0}
        rows = [measured(), measured("simplified-mixture", aside=aside)]
        headers = [column.header for column in table.to_table(rows, "GPU").columns]
        assert "compiled ms" in headers
        assert len(table.to_table(rows[:1], "cpu").columns) == len(headers) - 1

    def test_a_row_is_measured(self, monkeypatch):
        monkeypatch.setattr("benchmarks.floor.LEAST_SECONDS", 1e-3)
        monkeypatch.setattr("benchmarks.pythae_vae.installed", lambda: False)
        row = measure(cases.Case("vanilla", "digits", 2, steps=3), CPU, rounds=2)
        assert (row.dataset, row.steps, row.images) == ("digits", 3, 96)
        assert len(row.rounds) == 2
        assert all(set(times) == {"comvae", row.plain} for times in row.rounds)
        assert set(row.aside) == set(loop.VARIANTS)
        assert row.milliseconds > 0 and row.floor.milliseconds > 0


class TestChart:
    """The chart of the CSV."""

    def test_draws_every_contestant(self, tmp_path):
        rounds = [{"comvae": 1.0, "indexed": 2.0}]
        rows = [measured(), measured("compound-mixture", rounds=rounds)]
        path = tmp_path / "host.csv"
        table.to_frame(rows, "cpu").to_csv(path, index=False)
        page, specification = chart.write(path)
        drawn = json.loads(specification.read_text())
        assert "milliseconds per training step and seed" in drawn["description"]
        x = drawn["spec"]["encoding"]["x"]
        assert x["title"].startswith("milliseconds per step and seed")
        assert "vega" in page.read_text()

    def test_times_follow_from_the_ratios(self):
        frame = table.to_frame([measured()], "cpu")
        times = chart.times(frame).set_index("contestant")["milliseconds"]
        assert times.to_dict() == {
            "comvae": 1,
            "plain PyTorch": 3,
            "pythae": 8,
            "floor": 0.25,
        }


class TestScaling:
    """How the cost grows."""

    def test_a_curve_changes_one_size(self):
        for device in ("cpu", "cuda"):
            points = pd.DataFrame(scaling.points(device))
            for (_, axis), curve in points.groupby(["model", "axis"]):
                sizes = curve[["seeds", "batch_size", "hidden", "side"]].nunique()
                assert sizes.pop(axis) == len(curve) > 2
                assert set(sizes) == {1}

    def test_a_point_is_measured(self):
        point = scaling.Point("vanilla", "side", seeds=2, hidden=8, side=6)
        assert scaling.measure(point, CPU, rounds=1, steps=2) > 0


class TestStudy:
    """Before and after."""

    def test_trains_with_the_code_of_the_revision(self, tmp_path):
        tree = study.checkout("HEAD", tmp_path / "base")
        result = study._train(tree, "vanilla", epochs=1, threads=1)
        assert result["seconds"] > 0
        assert (result["work"]["epochs"], result["work"]["seeds"]) == (1, 3)

    def test_runs_all_stages_of_the_study_as_the_files_are_now(self, tmp_path):
        tree = study.checkout("", tmp_path / "now")
        copied = (tree / "benchmarks" / "study.py").read_bytes()
        assert copied == (ROOT / "benchmarks" / "study.py").read_bytes()
        (tree / "config" / "config.yaml").write_text(
            "study: small\ndatasets: [digits]\nmodels: [vanilla]\nseeds: 2\n"
            "training: {epochs: 1, hidden: 4, latent: 2}\n"
        )
        frame = study.compare_whole({"before": tree, "after": tree}, 2, rounds=1)
        assert frame.columns.tolist() == ["model", "before", "after", "ratio"]
        assert frame["after"].item() > 0
        assert len(pd.read_csv(tree / study.RUNS)) == 2 * 3
        assert not list(tree.glob("results/evaluations/**/gaps.parquet"))

    def test_says_what_a_study_that_fails_printed(self, tmp_path):
        tree = study.checkout("", tmp_path / "now")
        (tree / "config" / "config.yaml").write_text("study: small\n")
        with pytest.raises(SystemExit, match=r"seeds: (.|\n)*run\.py failed"):
            study.make_study(tree, 1)

    def test_sums_the_models_of_a_round(self, monkeypatch):
        seconds = {("old", "a"): 4.0, ("new", "a"): 2.0, ("old", "b"): 8.0}
        work = dict.fromkeys(("epochs", "batch_size", "hidden", "latent", "seeds"), 1)

        def trained(tree, model, epochs, threads):
            return {"seconds": seconds.get((tree, model), 1.0), "work": work}

        monkeypatch.setattr(study, "_train", trained)
        trees = {"before": "old", "after": "new"}
        frame = study.compare(trees, ["a", "b"], epochs=1, threads=1, rounds=2)
        assert frame.values.tolist() == [
            ["a", 4, 2, 2],
            ["b", 8, 1, 8],
            ["total", 12, 3, 4],
        ]

    def test_says_that_a_revision_is_unknown(self, tmp_path):
        with pytest.raises(SystemExit, match="no-such-revision"):
            study.checkout("no-such-revision", tmp_path / "base")

    def test_refuses_to_compare_other_work(self):
        keys = ("epochs", "batch_size", "hidden", "latent", "seeds")
        work = dict.fromkeys(keys, 32)
        results = {"before": {"work": work}, "after": {"work": work | {"epochs": 2}}}
        with pytest.raises(SystemExit, match="vanilla: before trains"):
            study._refuse_other_work("vanilla", results)


class TestLarge:
    """Planning and aggregating."""

    def test_times_each_command(self, tmp_path):
        rows = large.measure(tmp_path, seeds=3, size=2, gap_images=5)
        assert [row["what"] for row in rows] == [
            *("snakemake -n", "snakemake -n --quiet", "comvae tables")
        ]
        for row in rows:
            assert (row["seeds_per_block"], row["blocks"]) == (2, 16)
            assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_mb"] > 1
        runs = pd.read_csv(tmp_path / "results" / "tables" / "runs.csv")
        assert len(runs) == 8 * 3 * 3

    def test_says_that_a_command_failed(self):
        with pytest.raises(SystemExit, match="no module named nothing_there"):
            large.timed([sys.executable, "-c", "exit('no module named nothing_there')"])


def test_the_plain_loop_reads_the_options_it_knows():
    """With another reading, a model would be compared with another model."""
    known = {
        *("title", "hidden_layer", "latent_layer", "weight_prior"),
        *("batch_norm_maps", "batch_norm_hidden", "complexity_weights"),
    }
    for name, options in cases.catalogue("mnist").models.items():
        assert isinstance(options, ModelOptions)
        assert options.model_fields_set <= known, name
