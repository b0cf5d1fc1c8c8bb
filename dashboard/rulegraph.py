"""The rules of the workflow and their order, as a graph to draw.

The dashboard does not run Snakemake: a test keeps this equal to what
`snakemake --rulegraph` says.
"""

from collections.abc import Collection

from dashboard.theme import Ink

BEFORE = {  # rule: the rules whose files it reads
    "dataset": (),
    "configure": (),
    "plan": (),
    "train": ("dataset", "configure"),
    "evaluate": ("dataset", "configure", "train"),
    "gap_images": ("dataset",),
    "gap": ("dataset", "configure", "train"),
    "aggregate": ("plan", "evaluate", "gap_images", "gap"),
    "track": ("plan", "evaluate", "gap_images", "gap"),
    "report": ("plan", "aggregate"),
    "all": ("report", "track"),
}
WRITES = {
    "dataset": "verified arrays",
    "configure": "run.json of each block",
    "plan": "study.json",
    "train": "weights, history.csv",
    "evaluate": "metrics.csv, pictures",
    "gap_images": "which images",
    "gap": "gaps.parquet",
    "aggregate": "tables/*.csv",
    "track": "runs in MLflow",
    "report": "report/*.md",
    "all": "the whole study",
}
OF_GAPS = ("gap", "gap_images")  # absent where the study measures no gaps


def edges(without: Collection[str] = ()) -> list[tuple[str, str]]:
    """What comes directly before what; an arrow that others imply is left out."""
    return [
        (first, then)
        for then, before in BEFORE.items()
        for first in before
        if not {first, then} & set(without)
        and not any(first in _all_before(other) for other in before)
    ]


def _all_before(rule: str) -> set[str]:
    found = set(BEFORE[rule])
    return found.union(*(_all_before(each) for each in found))


def dot(ink: Ink, without: Collection[str] = ()) -> str:
    """The graph in the language of Graphviz, from top to bottom."""
    nodes = [
        f'{rule} [label="{rule}\\n{writes}"]'
        for rule, writes in WRITES.items()
        if rule not in without
    ]
    lines = [f"{first} -> {then}" for first, then in edges(without)]
    return "\n".join(
        [
            "digraph {",
            'bgcolor="transparent" rankdir=TB nodesep=0.25 ranksep=0.35',
            f'node [shape=box style=rounded fontname="Helvetica" fontsize=12 '
            f'color="{ink.muted}" fontcolor="{ink.text}"]',
            f'edge [color="{ink.muted}" arrowsize=0.7]',
            *nodes,
            *lines,
            "}",
        ]
    )
