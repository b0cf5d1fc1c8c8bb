"""The vocabulary: every quantity that is measured, and every split it is measured on.

Columns of tables, names in MLflow, titles, units and directions in the report and the
dashboard, and docs/quantities.md derive from here. A metric is one function in
comvae/evaluation/metrics.py and one entry of the same name here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["evaluation", "gap", "training", "price", "ood", "table"]

NATS = "nats per image"
RUNNING = "train-running"  # the split of what training itself averages
SOURCES = {
    "evaluation": "Evaluation: `metrics.csv` and, by epoch, `history.csv`",
    "training": "Training: `training.json`",
    "gap": "Gaps: `gaps.parquet`, image by image (docs/gap.md)",
    "price": "Price: `price.csv`, measured in one run on one machine",
    "ood": "Off the training data: `ood.csv`, from `ood-<dataset>.parquet`",
    "table": "Tables: other readings beside Table 1 (docs/paper.md)",
}


@dataclass(frozen=True)
class Quantity:
    """A number that a run has, or an image under a run."""

    name: str
    title: str
    unit: str = NATS  # empty for counts and shares
    better: Literal["lower", "higher"] | None = None  # None where neither is
    source: Source = "evaluation"
    in_paper: bool = False
    description: str = ""
    short: str = ""  # the heading of a narrow column, where that is not the title
    tables: tuple[str, ...] = ("runs", "table1")  # those that have it
    difference: tuple[str, str] | None = None  # a gap is the first minus the second
    beyond_train: str = ""  # the gap that it is, of test minus training images
    optional: bool = False  # runs.csv and gaps.csv lack it where no run has a value
    metric: bool = False  # the function of this name in evaluation/metrics.py

    @property
    def heading(self) -> str:
        """The heading of a column."""
        return self.short or self.title


@dataclass(frozen=True)
class Split:
    """The images that a mean is over."""

    name: str
    title: str
    images: str
    description: str
    evaluated: bool = True  # in a pass after training, and there alone with gaps


def _of_training(
    name: str, title: str, unit: str, description: str, **more: Any
) -> Quantity:
    more = {"source": "training", "tables": ("runs",)} | more
    return Quantity(name, title, unit, description=description, **more)


def _price(name: str, title: str, unit: str, description: str) -> Quantity:
    more = {"better": "lower", "source": "price", "tables": ("rivals",)}
    return Quantity(name, title, unit, description=description, **more)


def _metric(
    name: str, title: str, unit: str, description: str, **more: Any
) -> Quantity:
    more |= {"metric": True, "optional": True}
    return Quantity(name, title, unit, description=description, **more)


def _bound(name: str, title: str, description: str, **more: Any) -> Quantity:
    bound = {"better": "higher", "source": "gap", "tables": ("runs", "gaps")} | more
    return Quantity(name, title, description=description, **bound)


def _gap(name: str, title: str, of: str, minus: str, **more: Any) -> Quantity:
    gap = {"better": "lower", "difference": (of, minus)} | more
    return _bound(name, title, f"`{of} - {minus}`", **gap)


def _diagnostic(name: str, title: str, description: str, **more: Any) -> Quantity:
    return _bound(name, title, description, **{"tables": ("gaps",)} | more)


def _of_readings(name: str, title: str, description: str, **more: Any) -> Quantity:
    more |= {"source": "table", "tables": ("readings",)}
    return Quantity(name, title, description=description, **more)


def _of_foreign(name: str, title: str, description: str) -> Quantity:
    return Quantity(
        f"foreign_{name}",
        title,
        "",
        "higher",
        "ood",
        description=f"Area under the ROC curve of {description}",
        tables=("ood",),
    )


_ENTRIES = [
    Quantity(
        "reconstruction",
        "Reconstruction",
        better="lower",
        in_paper=True,
        description="-E_q[log p(x given z)], Bernoulli, summed over pixels: the "
        "distortion",
        short="L_rec",
        tables=("runs", "table1", "readings"),
    ),
    Quantity(
        "latent_kl",
        "Latent KL",
        in_paper=True,
        description="KL(q(z given x) to p(z)): the rate",
        short="D_KL",
        tables=("runs", "table1", "readings"),
    ),
    Quantity(
        "negative_elbo",
        "Negative ELBO",
        better="lower",
        in_paper=True,
        description="The sum of both, without weight_kl: a bound on -log p(x)",
        short="L_rec + D_KL",
    ),
    Quantity(
        "weight_kl",
        "Weight KL",
        "nats",
        description="KL(q(w given x) to p(w)) of a network, not divided by images",
        tables=("runs",),
    ),
    _metric(
        "active_units",
        "Active units",
        "",
        "Latents whose mean varies over images by more than 0.01 (variance)",
        short="active",
    ),
    _metric(
        "mutual_information",
        "Mutual information",
        NATS,
        "I(x, z) under q, at most the log of the images: latent_kl - aggregate_kl",
        short="I(x, z)",
    ),
    _metric(
        "aggregate_kl",
        "KL of the aggregate posterior",
        NATS,
        "KL(q(z) to p(z)), q(z) the mean of q(z given x) over the images",
        short="KL(q(z))",
    ),
    *(
        _metric(
            f"coverage_{share}",
            f"Coverage of {share} %",
            "",
            f"How often z is in the densest {share} % of q(z given x) of an image that "
            "is simulated from z; such images are binary, and foreign to an encoder "
            "that is trained on grey ones",
        )
        for share in (50, 80, 95)
    ),
    Quantity(
        "negative_bound",
        "Negative bound",
        better="lower",
        description="What an objective other than the ELBO minimises",
        tables=("runs",),
        optional=True,
    ),
    _of_training(
        "parameters",
        "Parameters",
        "",
        "Trained numbers of a network",
        tables=("runs", "rivals"),
    ),
    _of_training("epochs", "Epochs", "", "Passes over the training split"),
    _of_training(
        "train_seconds",
        "Training time",
        "seconds",
        "Wall time of the block divided by its seeds",
        better="lower",
        tables=("runs", "rivals"),
    ),
    _price(
        "encode_seconds",
        "Time to encode",
        "seconds for 1,000 images",
        "Of one seed's encoder on test images: the median of several times, and a "
        "measurement of its machine",
    ),
    _price(
        "decoder_evaluations",
        "Decoder evaluations",
        "for each image",
        "Latents that the decoder is run on to find q(z given x), with or without a "
        "gradient; 0 for an encoder of one pass",
    ),
    _price(
        "memory",
        "Memory",
        "MB",
        "Weights of one seed, and the most bytes that encoding holds at once in "
        "tensors beside them, for a batch of the evaluation",
    ),
    _bound("log_px", "log p(x)", "log_px_is, where it can be trusted (docs/gap.md)"),
    _bound("elbo", "ELBO", "L[q], weights sampled: the paper's number"),
    _bound("elbo_mean_weights", "ELBO, mean weights", "L[q], weights at their means"),
    _bound("elbo_marginal", "ELBO, marginal q", "L[q] of q as a mixture over weights"),
    _bound(
        "elbo_optimal", "Best ELBO", "L[q*], the best Gaussian's", short="best ELBO"
    ),
    _gap(
        "approximation_gap",
        "Approximation gap",
        of="log_px",
        minus="elbo_optimal",
        short="approximation",
    ),
    _gap(
        "amortization_gap",
        "Amortization gap",
        of="elbo_optimal",
        minus="elbo",
        short="amortization",
    ),
    _gap("inference_gap", "Inference gap", of="log_px", minus="elbo"),
    _bound(
        "generalisation_gap",
        "Generalisation of inference",
        "inference_gap on test images minus that on training images: what the encoder "
        "loses on images that it was not trained on",
        better="lower",
        beyond_train="inference_gap",
        short="test - train",
        optional=True,
    ),
    _gap(
        "amortization_gap_mean_weights",
        "Amortization gap, mean weights",
        of="elbo_optimal",
        minus="elbo_mean_weights",
        short="amortization, means",
    ),
    _gap(
        "weight_noise_gap",
        "Weight noise",
        of="elbo_mean_weights",
        minus="elbo",
        short="weight noise",
    ),
    _gap(
        "amortization_gap_marginal",
        "Amortization gap, marginal q",
        of="elbo_optimal",
        minus="elbo_marginal",
        tables=("gaps",),
    ),
    _diagnostic(
        "elbo_optimal_own",
        "Best ELBO, own family",
        "L[q*], the best that the encoder's outputs can name, where none is a Gaussian",
        optional=True,
    ),
    _gap(
        "approximation_gap_own",
        "Approximation gap, own family",
        of="log_px",
        minus="elbo_optimal_own",
        tables=("gaps",),
        optional=True,
    ),
    _gap(
        "amortization_gap_own",
        "Amortization gap, own family",
        of="elbo_optimal_own",
        minus="elbo",
        tables=("gaps",),
        optional=True,
    ),
    _diagnostic("log_px_is", "log p(x), importance sampling", "A lower bound"),
    _diagnostic("log_px_ais", "log p(x), annealing", "Where it ran", tables=()),
    _gap(
        "ais_difference",
        "Annealing against importance sampling",
        of="log_px_ais",
        minus="log_px_is",
        tables=("gaps",),
        better=None,
    ),
    _diagnostic(
        "withheld",
        "Withheld",
        "Share of the images whose log p(x) cannot be trusted",
        unit="",
        better="lower",
        optional=True,
    ),
    _diagnostic(
        "log_px_error",
        "Error of log p(x)",
        "Standard error of log_px_is",
        better="lower",
        optional=True,
    ),
    _diagnostic("ess", "Effective sample size", "Of log_px_is", unit="draws"),
    _diagnostic(
        "draws", "Draws", "Of log_px_is", unit="draws", better=None, optional=True
    ),
    _diagnostic(
        "simulated_lower",
        "log p(x) of simulated images, lower bound",
        "As log_px_is, on images simulated from the model",
        optional=True,
    ),
    _diagnostic(
        "simulated_upper",
        "log p(x) of simulated images, upper bound",
        "By annealing back from the latents that they are from",
        better=None,
        optional=True,
    ),
    _gap(
        "certificate",
        "log p(x) is right within",
        of="simulated_upper",
        minus="simulated_lower",
        tables=("gaps",),
        better=None,
        optional=True,
    ),
    _diagnostic("iterations", "Iterations", "Of the search", unit="", better=None),
    _diagnostic("converged", "Converged", "Share of the searches for q*", unit=""),
    _diagnostic(
        "start_difference", "Difference of starts", "Between two optima", better=None
    ),
    _of_foreign("negative_elbo", "-ELBO", "-L[q]"),
    _of_foreign("negative_log_px", "-log p(x)", "-log p(x), of every image"),
    _of_foreign("latent_kl", "Latent KL", "KL(q(z given x) to p(z))"),
    _of_foreign("gap", "Gap", "L[q*] - L[q], the Likelihood Regret"),
    _of_foreign(
        "elbo_variance", "Variance of the ELBO", "its variance over weight draws"
    ),
    Quantity(
        "foreign_own",
        "Its own sign",
        "",
        "higher",
        "ood",
        description="foreign_elbo_variance where weights are random, else foreign_gap: "
        "what the claim compares",
        tables=(),
    ),
    Quantity(
        "knows_own",
        "Rank correlation, own images",
        "",
        "higher",
        "ood",
        description="Of the variance over weight draws with the gap, image by image",
        tables=(),
    ),
    Quantity(
        "knows_foreign",
        "Rank correlation, foreign images",
        "",
        "higher",
        "ood",
        description="The same on the foreign images",
        tables=(),
    ),
    _of_readings("reconstruction_difference", "L_rec - vanilla's", "Of the same seed"),
    _of_readings("latent_kl_difference", "D_KL - vanilla's", "Of the same seed"),
    _of_readings(
        "reconstruction_ratio", "L_rec / vanilla's", "Of the same seed", unit=""
    ),
    _of_readings("latent_kl_ratio", "D_KL / vanilla's", "Of the same seed", unit=""),
    _of_readings(
        "distance",
        "Distance",
        "How far a reading is from the pattern of the paper's row",
        unit="%",
        better="lower",
    ),
    _of_readings(
        "vanilla_distance", "Vanilla's distance", "Where nothing changes", unit="%"
    ),
]
QUANTITIES = {quantity.name: quantity for quantity in _ENTRIES}
"""By name, in the order of the tables' columns and rows."""

_SPLITS = [
    Split(
        "train",
        "Train",
        "training images",
        "One pass over the whole training split after training.",
    ),
    Split(
        "test",
        "Test",
        "test images",
        "One pass over the whole test split after training.",
    ),
    Split(
        RUNNING,
        "Train, running average",
        "training images, average over the last epoch",
        "Average over the last epoch while training, which is what the paper's "
        "training rows seem to be.",
        evaluated=False,
    ),
]
SPLITS = {split.name: split for split in _SPLITS}
"""By name, in the order of the tables' rows."""


def names(source: str | None = None, table: str | None = None) -> list[str]:
    """The quantities from a source, of a table, or of a table and from a source."""
    return [
        name
        for name, quantity in QUANTITIES.items()
        if source in (None, quantity.source) and table in (None, *quantity.tables)
    ]


PAPER_METRICS = [name for name, quantity in QUANTITIES.items() if quantity.in_paper]
EVALUATED_SPLITS = [name for name, split in SPLITS.items() if split.evaluated]


def quantities_page() -> str:
    """The text of docs/quantities.md."""
    parts = [
        "# Quantities",
        "<!-- Generated from comvae/results/quantities.py by `python -m comvae "
        "schemas`; do not edit. -->",
        "What is measured, by its name in the tables and in MLflow. What has no unit "
        "is a count or a share; the paper's Table 1 has those with a star.",
    ]
    for source, heading in SOURCES.items():
        rows = [
            [
                f"`{name}`" + " *" * quantity.in_paper,
                quantity.title,
                quantity.unit,
                quantity.better or "",
                ", ".join(f"{table}.csv" for table in quantity.tables),
                quantity.description,
            ]
            for name, quantity in QUANTITIES.items()
            if quantity.source == source
        ]
        columns = ["name", "title", "unit", "better", "tables", "what it is"]
        parts += [f"## {heading}", markdown_table(columns, rows)]
    rows = [[f"`{s.name}`", s.title, s.description] for s in SPLITS.values()]
    parts += ["## Splits", markdown_table(["name", "title", "what it is"], rows)]
    return "\n\n".join(parts) + "\n"


def markdown_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of texts in Markdown; a `|` within one is escaped."""
    columns = list(columns)
    lines = [columns, ["---"] * len(columns), *rows]
    lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
