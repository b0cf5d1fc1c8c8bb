"""Which blocks a study consists of, and where their files live.

Seeds are grouped into blocks that train in lockstep. A block that is on disk already is
kept, so that adding seeds to a study adds blocks and retrains nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from comvae.datasets.registry import REGISTRY, STUDIED
from comvae.errors import ResultsError, SettingsError
from comvae.study.loading import Catalogue

PLAN = "study.json"
LONGEST_NAME = 200  # of a block's folder; file systems end at 255


@dataclass(frozen=True)
class Block:
    """The seeds of one (dataset, model) that train in lockstep in one job."""

    dataset: str
    model: str
    seeds: tuple[int, ...]
    config_hash: str  # of all that the result of a seed depends on
    measured: str  # hash of the settings that it is evaluated with

    @property
    def name(self) -> str:
        """The name of the block's folder."""
        return name_of(self.seeds)

    @property
    def folder(self) -> Path:
        """The block's folder below `results/runs`."""
        return Path(self.dataset, self.model, self.config_hash, self.name)


def name_of(seeds: tuple[int, ...]) -> str:
    """`seeds-0-4` for a run of seeds, `seeds-0,3` for others."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) == 1:
        return f"seeds-{first}"
    if seeds == tuple(range(first, last + 1)):
        return f"seeds-{first}-{last}"
    return "seeds-" + ",".join(str(seed) for seed in seeds)


def parse_seeds(name: str) -> tuple[int, ...]:
    """The seeds of a block from its name; raises ValueError."""
    numbers = name.removeprefix("seeds-")
    if "-" in numbers:
        first, last = numbers.split("-")
        return tuple(range(int(first), int(last) + 1))
    return tuple(int(number) for number in numbers.split(","))


def relative_size(dataset: str, block: str) -> float:
    """How many times the work of one seed of MNIST a block is, by its name: its seeds,
    training images and pixels. A cluster's profile asks for run time with it."""
    source, mnist = (REGISTRY | STUDIED)[dataset], REGISTRY["mnist"]
    one, reference = (s.counts["train"] * s.height * s.width for s in (source, mnist))
    return len(parse_seeds(block)) * one / reference


def plan_blocks(catalogue: Catalogue, results: Path) -> list[Block]:
    """The blocks of a study, in the order of its datasets and models.

    Blocks below `results` are kept where they hold only seeds of the study; the
    remaining seeds form new blocks of at most `training.seeds_per_block`. Raises
    SettingsError where their names are too long for a folder.
    """
    return [
        block
        for dataset in catalogue.study.datasets.names
        for model in catalogue.models
        for block in _blocks_of(
            catalogue, dataset, model, catalogue.study.seeds_of(model), results
        )
    ]


def plan_parents(
    catalogue: Catalogue, blocks: list[Block], results: Path
) -> list[Block]:
    """The blocks that `blocks` start from, as far as they are none of these: they are
    trained alone."""
    found: list[Block] = []
    waiting = list(blocks)
    while waiting:
        block = waiting.pop(0)
        model = catalogue.options(block.model).starts_from
        there = parents_of(catalogue, block, [*blocks, *found])
        missing = set(block.seeds).difference(*(each.seeds for each in there))
        if model and missing:
            seeds = sorted(missing)
            new = _blocks_of(catalogue, block.dataset, model, seeds, results)
            found += new
            waiting += new
    return found


def parents_of(catalogue: Catalogue, block: Block, blocks: list[Block]) -> list[Block]:
    """Those of `blocks` that a block starts from."""
    model = catalogue.options(block.model).starts_from
    return [
        each
        for each in blocks
        if (each.dataset, each.model) == (block.dataset, model)
        and not set(each.seeds).isdisjoint(block.seeds)
    ]


def _blocks_of(
    catalogue: Catalogue, dataset: str, model: str, seeds: list[int], results: Path
) -> list[Block]:
    size = catalogue.study.training.seeds_per_block
    address = catalogue.run_config(dataset, model, seeds).config_hash
    measured = catalogue.study.measured
    missing = set(seeds)
    blocks = []
    for known in _known_seeds(results / "runs" / dataset / model / address):
        if missing.issuperset(known):
            blocks.append(Block(dataset, model, known, address, measured))
            missing.difference_update(known)
    remaining = sorted(missing)
    for start in range(0, len(remaining), size):
        chosen = tuple(remaining[start : start + size])
        block = Block(dataset, model, chosen, address, measured)
        if len(block.name) > LONGEST_NAME:
            raise SettingsError(
                f"training.seeds_per_block: found {size}, with which the name of a "
                f"block of {model} is {len(block.name)} characters long: {block.name}; "
                f"expected at most {LONGEST_NAME}: fewer seeds in a block, or a row of "
                "consecutive seeds"
            )
        blocks.append(block)
    return sorted(blocks, key=lambda block: block.seeds)


def _known_seeds(folder: Path) -> list[tuple[int, ...]]:
    """The seeds of the blocks on disk, larger blocks first."""
    known = []
    for path in folder.glob("seeds-*/run.json"):
        try:
            known.append(parse_seeds(path.parent.name))
        except ValueError:
            continue  # a folder that this program did not name
    return sorted(known, key=lambda seeds: (-len(seeds), seeds))


def study_folder(results: Path, study: str) -> Path:
    """Where the plan, tables, report and site of a study lie."""
    return results / "studies" / study


def find_studies(results: Path) -> list[str]:
    """The names of the studies below `results`, the last one planned first."""

    def planned(folder: Path) -> float:
        plan = folder / PLAN
        return plan.stat().st_mtime if plan.exists() else 0.0

    folders = sorted(path for path in results.glob("studies/*") if path.is_dir())
    return [each.name for each in sorted(folders, key=planned, reverse=True)]


def last_planned(results: Path) -> str:
    """The name of the study that was planned last; empty where there is none."""
    return next(iter(find_studies(results)), "")


@dataclass(frozen=True)
class Plan:
    """A study as its `study.json` names it: what tables and dashboard go by."""

    study: str
    datasets: list[str]
    models: dict[str, str]  # name -> title
    blocks: list[Block]
    tracking_uri: str | None
    gap_images: int = 0  # of each split; 0 where the gaps are not measured
    readings: dict[str, str] = field(default_factory=dict)  # model -> row of Table 1
    ood: list[str] = field(default_factory=list)  # foreign datasets
    parents: list[Block] = field(default_factory=list)  # trained, and no more
    rivals: list[str] = field(default_factory=list)  # models

    @classmethod
    def read(cls, results: Path, study: str | None = None) -> "Plan":
        """The plan of a study below `results`, of the last one planned where none is
        named; raises ResultsError."""
        path = study_folder(results, study or last_planned(results) or "*") / PLAN
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise ResultsError(
                f"{path}: found no readable plan of the study ({why}); run "
                "`snakemake` or `comvae configure` first; planned are: "
                f"{', '.join(find_studies(results)) or 'none'}"
            ) from None

    def folder(self, results: Path) -> Path:
        """The folder of the study below `results`."""
        return study_folder(results, self.study)


def study_json(
    catalogue: Catalogue, blocks: list[Block], parents: list[Block] | None = None
) -> str:
    """The text of a study's `study.json`."""
    study = catalogue.study
    plan = Plan(
        study.study,
        study.datasets.names,
        {name: model.title for name, model in catalogue.models.items()},
        blocks,
        study.tracking.uri,
        study.gap.images,
        catalogue.readings,
        study.ood,
        parents or [],
        catalogue.rivals,
    )
    return TypeAdapter(Plan).dump_json(plan, indent=2).decode()
