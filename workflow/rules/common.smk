"""The validated study, and the helpers that name its files."""

import gc
import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Text is UTF-8 in any locale: what is read, printed, and given to shell commands.
if sys.getfilesystemencoding() != "utf-8":
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])

# The code beside this workflow runs, installed or not; that of a module from elsewhere
# is what is installed.
CODE = HERE.parent if HERE.is_dir() else None
if CODE:
    sys.path.insert(0, str(CODE))

from comvae.study.loading import load_study
from comvae.errors import ComvaeError
from comvae.files import check_writable
from comvae.results.paths import find_external
from comvae.study.plan import (
    parents_of,
    parse_seeds,
    plan_blocks,
    plan_parents,
    study_folder,
    study_json,
)
from comvae.study.running import run_alone

RESULTS = Path("results")


def beside(name):
    """The path of a file of this repository, fetched where the workflow is elsewhere."""
    return Path(CODE, name) if CODE else Path(workflow.source_path(f"../../{name}"))


# Snakemake fills in wildcards here: braces in the name of this folder are no wildcards.
ENVIRONMENT = str(beside("environment.yml")).replace("{", "{{").replace("}", "}}")

# Snakemake keeps every job that it plans: to look for garbage among them again and again
# takes a sixth of the time of a large study.
gc.set_threshold(200_000)


def short_path(path):
    """A path for messages: relative to this folder where it lies below it."""
    path = Path(path)
    return str(
        path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    )


try:
    STUDY = load_study(
        config,
        source=", ".join(short_path(path) for path in workflow.configfiles),
        models=short_path(beside("config/models.yaml")),
    )
    BLOCKS = plan_blocks(STUDY, RESULTS)
    PARENTS = plan_parents(STUDY, BLOCKS, RESULTS)
    PLAN = study_json(STUDY, BLOCKS, PARENTS)
    if workflow.is_main_process:
        check_writable(Path(".snakemake"), RESULTS, Path("logs"))
except ComvaeError as error:
    raise WorkflowError(str(error)) from None

NAME = STUDY.study.study
FOLDER = str(study_folder(RESULTS, NAME))
# An evaluation is addressed by its own settings too: other settings are another folder.
EVALUATION = f"results/evaluations/{{dataset}}/{{model}}/{{hash}}-{STUDY.study.measured}/{{block}}"
GAP_IMAGES = f"results/evaluations/{{dataset}}/gap-images-{STUDY.study.measured}.json"

# Dated now where the plan on disk is another, or where nothing is remembered of this
# folder, as in a copy: plan and tables are older then.
PLAN_CHANGED = Path(".snakemake", "plan-changed", NAME)
if workflow.is_main_process:
    with suppress(OSError):
        on_disk = Path(FOLDER, "study.json")
        same = on_disk.exists() and on_disk.read_bytes() == PLAN.encode()
        if not (same and PLAN_CHANGED.exists()):
            PLAN_CHANGED.parent.mkdir(parents=True, exist_ok=True)
            # the time is its content: Snakemake compares that too
            PLAN_CHANGED.write_text(str(time.time_ns()), encoding="utf-8")
    if any(RESULTS.glob("runs/*/*/seeds-*/run.json")):
        logger.warning(
            "results/runs: found blocks without a hash of their settings, which this "
            "study does not know; `comvae adopt results` takes them over, and then they "
            "can be removed: results/runs/*/*/seeds-*"
        )

# Jobs run the interpreter that runs this workflow, activated or not, and its code.
os.environ.update(
    PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.getenv('PATH', os.defpath)}",
    PYTHONUTF8="1",
    **({"PYTHONPATH": str(CODE)} if CODE else {}),
)
# The mirror is no parameter of a rule: another mirror holds the same verified bytes.
if STUDY.study.datasets.mirror:
    os.environ.setdefault("COMVAE_MIRROR", STUDY.study.datasets.mirror)


def pass_on(number, frame):
    """Send a signal on to what this process has started."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.send_signal(number)


# Slurm's warning before the time limit reaches the first process of a job alone, which
# is Snakemake there, and not what it runs.
if workflow.remote_exec:
    signal.signal(signal.SIGUSR1, pass_on)


wildcard_constraints:
    dataset=r"[a-z0-9-]+",
    foreign=r"[a-z0-9-]+",
    model=r"[a-z0-9-]+",
    hash=r"[0-9a-f]{12}",
    block=r"seeds-[0-9,-]+",


def block_threads(wildcards):
    """Two threads for five seeds of MNIST; smaller blocks gain more from two at a time."""
    images = STUDY.study.datasets.source(wildcards.dataset)
    pixels = images.height * images.width * len(parse_seeds(wildcards.block))
    return 2 if pixels > 3000 else 1


def own_paths(wildcards):
    """The file of each split of a dataset of the user's own; none of any other."""
    own = STUDY.study.datasets.files.get(wildcards.dataset)
    return own.paths if own else {}


def own_files(wildcards):
    """What a dataset is made of: a file that is newer is read again."""
    return [str(path) for path in own_paths(wildcards).values()]


def dataset_checksum(wildcards):
    """That of what the dataset is made of: other content is read again."""
    return STUDY.study.datasets.source(wildcards.dataset).checksum


def own_options(wildcards):
    """How `comvae fetch` is told of these files."""
    named = [(f"--{split}", str(path)) for split, path in own_paths(wildcards).items()]
    return shlex.join(word for pair in named for word in pair)


def block_config(wildcards):
    """The resolved config of a block, as the text of its run.json."""
    seeds = list(parse_seeds(wildcards.block))
    block = STUDY.run_config(wildcards.dataset, wildcards.model, seeds)
    if block.config_hash != wildcards.hash:
        raise WorkflowError(
            f"results/runs/{wildcards.dataset}/{wildcards.model}/{wildcards.hash}: is "
            f"of other settings than the study's, whose folder is {block.config_hash}"
        )
    return block.to_json()


def parents(wildcards):
    """The training of the blocks that a block starts from; of most blocks none."""
    if STUDY.options(wildcards.model).starts_from is None:
        return []
    own = wildcards.dataset, wildcards.model, parse_seeds(wildcards.block)
    known = BLOCKS + PARENTS
    [block] = [b for b in known if (b.dataset, b.model, b.seeds) == own]
    return [
        f"results/runs/{each.folder}/training.json"
        for each in parents_of(STUDY, block, known)
    ]


def write_plan(path, log):
    """Write the plan; a shell command must not be as long as that of a large study."""
    Path(path).write_text(PLAN, encoding="utf-8")
    Path(log).write_text(f"{len(BLOCKS)} blocks in {path}\n")


def all_trained(wildcards):
    """The files of the training of every block."""
    names = ("run.json", "weights.safetensors", "history.csv", "training.json")
    return [f"results/runs/{block.folder}/{name}" for block in BLOCKS for name in names]


def expand_blocks(pattern):
    """The file of every block that a pattern names."""
    return [
        pattern.format(
            dataset=block.dataset,
            model=block.model,
            hash=block.config_hash,
            block=block.name,
        )
        for block in BLOCKS
    ]


def all_metrics(wildcards):
    """The metrics of every block of the study."""
    return expand_blocks(f"{EVALUATION}/metrics.csv")


def all_gaps(wildcards):
    """The gaps of every block of the study, and the images that they are measured on;
    nothing where the study measures none."""
    if STUDY.study.gap.images == 0:
        return []
    lists = [GAP_IMAGES.format(dataset=name) for name in STUDY.study.datasets.names]
    return lists + expand_blocks(f"{EVALUATION}/gaps.parquet")


def all_ood(wildcards):
    """The scores of every block of the study for each foreign dataset."""
    return [
        path
        for foreign in STUDY.study.ood
        for block, path in zip(
            BLOCKS, expand_blocks(f"{EVALUATION}/ood-{foreign}.parquet")
        )
        if block.dataset != foreign
    ]


def unfinished():
    """The folders of the blocks that lack a file."""
    wanted = ["results/runs/{dataset}/{model}/{hash}/{block}/training.json"]
    wanted += [f"{EVALUATION}/metrics.csv"]
    wanted += [f"{EVALUATION}/gaps.parquet"] if STUDY.study.gap.images else []
    files = zip(BLOCKS, *map(expand_blocks, wanted))
    folders = {
        f"results/runs/{block.folder}"
        for block, *paths in files
        if not all(map(os.path.exists, paths))
    }
    alone = [f"results/runs/{block.folder}" for block in PARENTS]
    return folders | {
        path for path in alone if not os.path.exists(f"{path}/training.json")
    }


def run_beside_others(planned):
    """Refuse to make what another study is making, or has made since this was planned."""
    try:
        run_alone(Path(".snakemake", "studies"), NAME, planned)
    except ComvaeError as error:
        raise WorkflowError(str(error)) from None
    if made := planned - unfinished():
        raise WorkflowError(
            f"{min(made)}: found it finished by another study meanwhile, expected to "
            "make it; run the same command again"
        )
