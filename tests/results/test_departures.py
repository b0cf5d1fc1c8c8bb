"""What of a study is not as in the paper, from the blocks and records on disk."""

import pytest

from comvae.datasets.options import DataOptions
from comvae.datasets.registry import REGISTRY
from comvae.files import write_text
from comvae.results import paths
from comvae.results.tables import write_tables
from comvae.results.tables.departures import departures
from comvae.study.loading import load_study
from comvae.study.plan import Plan
from comvae.study.run_config import RunConfig
from comvae.study.settings import Training
from tests.results.written import MODELS_FILE, OPTIONS, block_of

PAPER = load_study(
    source=MODELS_FILE.with_name("paper.yaml"), models=MODELS_FILE
).study.training
CHANGES = {
    "epochs": "epochs 20 (50)",
    "batch_size": "batch_size 20 (32)",
    "hidden": "hidden 20 (100)",
    "latent": "latent 20 (5)",
}


def written(results, dataset, training=PAPER, data=DataOptions(), **record):  # noqa: B008
    """A block and the record of its dataset."""
    config = RunConfig(
        dataset=dataset,
        model="vanilla",
        seeds=[0],
        options=OPTIONS["vanilla"],
        training=training,
        data=data,
    )
    block = block_of(config)
    write_text(paths.run_folder(results, block.folder) / "run.json", config.to_json())
    facts = {"height", "width", "counts"}
    known = REGISTRY[dataset].model_copy(update=record).model_dump_json(include=facts)
    write_text(paths.dataset_record(results, dataset), known)
    return block


def found(results, dataset, *settings, **more):
    """The departures of a study of one block."""
    block = written(results, dataset, *settings, **more)
    return departures(results, Plan("t", [dataset], {}, [block], None))[dataset]


@pytest.mark.parametrize("dataset", ["mnist", "emnist-mnist"])
def test_the_papers_study_departs_in_nothing(tmp_path, dataset):
    assert found(tmp_path, dataset) == ""
    how = PAPER.model_copy(update={"seeds_per_block": 1, "kernels": "off"})
    assert found(tmp_path, dataset, how, DataOptions(data_seed=3)) == ""


@pytest.mark.parametrize("name", CHANGES)
def test_another_setting_of_training_is_named(tmp_path, name):
    assert found(tmp_path, "mnist", Training(**{name: 20})) == CHANGES[name]


def test_other_images_are_named(tmp_path):
    small = found(tmp_path, "mnist", height=14, width=14)
    assert small == "14x14 pixels (28x28)"
    few = found(tmp_path, "mnist", counts={"train": 30_000, "test": 10_000})
    assert few == "30000 train images (60000)"
    binary = found(tmp_path, "mnist", data=DataOptions(binarize="threshold"))
    assert binary == "binarize threshold (none)"
    other = found(tmp_path, "fashion-mnist")
    assert other == "dataset fashion-mnist (mnist, emnist-mnist)"


@pytest.mark.parametrize(
    "data,shown", [({}, True), ({"pool": 2}, False), ({"binarize": "dynamic"}, False)]
)
def test_the_papers_values_stand_beside_its_own_images_alone(tmp_path, data, shown):
    block = written(tmp_path, "mnist", data=DataOptions(**data))
    table = write_tables(tmp_path, Plan("t", ["mnist"], {}, [block], None))["table1"]
    assert len(table) and table["paper"].notna().any() == shown


def test_what_is_damaged_or_missing_is_not_guessed_at(tmp_path):
    plan = Plan("t", ["mnist", "digits"], {}, [], None)
    write_text(paths.dataset_record(tmp_path, "mnist"), "{")
    assert departures(tmp_path, plan) == {
        "mnist": "",
        "digits": "dataset digits (mnist, emnist-mnist)",
    }
