"""Large studies: the same tables however runs are grouped, and bounded memory."""

from pathlib import Path

import pytest

from comvae.results.tables import gaps as gap_tables
from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from tests.results.written import write_large_results
from tests.support import study_in

MODELS = ("vanilla", "simplified-gaussian", "compound-mixture")
STUDY = {"models": MODELS, "seeds": 6, "gap_images": 40}


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """The same study in blocks of one seed and of four."""
    folders = {}
    for size in (1, 4):
        folders[size] = tmp_path_factory.mktemp(f"blocks-of-{size}")
        write_large_results(folders[size], seeds_per_block=size, **STUDY)
    return folders


def table_text(results, name) -> str:
    return (study_in(results) / "tables" / f"{name}.csv").read_text()


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
