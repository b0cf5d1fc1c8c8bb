"""Large studies: the same tables however runs are grouped, and bounded memory."""

from pathlib import Path

import pytest

from comvae.results.tables import gaps as gap_tables
from comvae.results.tables import write_tables
from comvae.study.plan import Block, Plan, plan_blocks, relative_size
from comvae.study.settings import load_study
from tests.results.synthetic import write_large_results
from tests.support import ROOT

MODELS = ("vanilla", "simplified-gaussian", "compound-mixture")
STUDY = {"models": MODELS, "seeds": 6, "epochs": 3, "gap_images": 40}


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """The same study in blocks of one seed and of four."""
    folders = {}
    for size in (1, 4):
        folders[size] = tmp_path_factory.mktemp(f"blocks-of-{size}")
        write_large_results(folders[size], seeds_per_block=size, **STUDY)
    return folders


def table_text(results, name) -> str:
    return (results / "tables" / f"{name}.csv").read_text()


@pytest.mark.parametrize("name", ["runs", "table1", "gaps", "attribution", "claims"])
def test_tables_do_not_depend_on_the_blocks(grouped, name):
    one, four = (table_text(folder, name) for folder in grouped.values())
    assert one == four
    assert len(one.splitlines()) > 4


def test_every_synthetic_run_is_finished_and_measured(grouped):
    for results in grouped.values():
        cells = write_tables(results, Plan.read(results))["cells"]
        assert len(cells) == len(MODELS) * STUDY["seeds"]
        assert set(cells["status"]) == {"finished"}
        assert set(cells["gap"]) == {"measured"}


def test_images_of_few_runs_are_in_memory_at_a_time(grouped, monkeypatch):
    """A run has 2 x 40 images; blocks of four are read whole."""
    sizes = []
    reduce = gap_tables.over_images

    def spy(runs):
        sizes.append(sum(map(len, runs.values())))
        return reduce(runs)

    monkeypatch.setattr(gap_tables, "over_images", spy)
    monkeypatch.setattr(gap_tables, "ROWS_AT_ONCE", 100)
    for size, results in grouped.items():
        before = table_text(results, "gaps")
        sizes.clear()
        write_tables(results, Plan.read(results))
        assert table_text(results, "gaps") == before
        assert sum(sizes) == len(MODELS) * STUDY["seeds"] * 80
        assert max(sizes) <= 100 + size * 80 and len(sizes) > 3


def test_each_file_is_read_once(grouped, monkeypatch):
    read = []
    real = Path.read_bytes

    def spy(path):
        read.append(path)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", spy)
    for results in grouped.values():
        read.clear()
        plan = Plan.read(results)
        write_tables(results, plan)
        tables = [path for path in read if path.suffix == ".csv"]
        assert len(tables) == len(set(tables)) == 2 * len(plan.blocks)
        assert len(read) == len(set(read))


def test_thousands_of_blocks_on_disk_are_kept(tmp_path):
    """Other seeds and other sizes of blocks do not make new ones of them."""
    study = {
        "study": "t",
        "datasets": ["digits"],
        "models": ["vanilla"],
        "seeds": 3007,
        "training": {"seeds_per_block": 5},
    }
    for seed in range(3000):
        path = tmp_path / "runs" / "digits" / "vanilla" / f"seeds-{seed}" / "run.json"
        path.parent.mkdir(parents=True)
        path.touch()
    models = ROOT / "config" / "models.yaml"
    blocks = plan_blocks(load_study(study, source="test", models=models), tmp_path)
    assert [block.seeds for block in blocks] == [
        *((seed,) for seed in range(3000)),
        (3000, 3001, 3002, 3003, 3004),
        (3005, 3006),
    ]


def test_size_is_that_of_seeds_images_and_pixels():
    assert relative_size("mnist", Block("mnist", "any", (0,)).name) == 1
    assert relative_size("mnist", "seeds-0-4") == 5
    assert relative_size("emnist-mnist", "seeds-3,7") == 2
    digits = relative_size("digits", "seeds-0")
    assert digits == pytest.approx(1437 * 64 / (60_000 * 784))
