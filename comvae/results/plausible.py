"""Numbers that no model gives: a run that has one is refused, with the broken bound."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from comvae.results import paths
from comvae.results.reading import load_json
from comvae.study.plan import Block

NATS_PER_PIXEL = 100.0  # a pixel that is told wrong by float32's largest logit costs 88
ROUNDING = 0.001  # nats
NOISE = 5.0  # standard errors that estimates may be out of order by
RISING = ("elbo", "elbo_optimal", "log_px")  # what every measured image has


@dataclass(frozen=True)
class Bounds:
    """What the nats of an image lie between, for one block.

    -log p(x given z) of binary pixels and a KL are not below 0; no pixel costs more
    than NATS_PER_PIXEL. A density of grey pixels may be above 1, and -log p below 0.
    """

    most: float
    least: float

    @classmethod
    def of(cls, results: Path, block: Block) -> "Bounds":
        """Those of a block, from its run.json and the record of its dataset."""
        config = load_json(paths.run_folder(results, block.folder) / paths.CONFIG) or {}
        dataset = load_json(paths.dataset_record(results, block.dataset)) or {}
        most = math.inf
        if {"height", "width"} <= set(dataset):
            pooled = config.get("data", {}).get("pool", 1) ** 2
            most = NATS_PER_PIXEL * dataset["height"] * dataset["width"] / pooled
        binary = config.get("options", {}).get("likelihood", "bernoulli") == "bernoulli"
        return cls(most, 0.0 if binary else -most)

    def broken_by(self, values: Mapping[str, float]) -> str:
        """The first bound that the terms of a run break, in words; empty for none."""
        for name, least, most in (
            ("reconstruction", self.least, self.most),
            ("latent_kl", 0.0, self.most),
            ("negative_elbo", self.least, self.most),
            *((name, -self.most, -self.least) for name in RISING),
        ):
            value = values.get(name, least)
            if not least - ROUNDING <= value <= most + ROUNDING:
                return _implausible(name, value, least, most)
        return ""

    def broken_by_images(self, rows: pd.DataFrame) -> str:
        """The same for the bounds of single images, and for the order of their means
        beyond their noise."""
        for name in RISING:
            there = rows[name].dropna()  # the rest is withheld
            for value in (there.min(), there.max()) if len(there) else ():
                if not -self.most <= value <= -self.least + ROUNDING:
                    return _implausible(name, value, -self.most, -self.least)
        # a flow may do better than the best Gaussian, and not than the best flow
        own = rows.get("elbo_optimal_own", math.nan)
        ordered = rows.assign(elbo_optimal=rows["elbo_optimal"].clip(lower=own))
        for lower, higher in itertools.pairwise(RISING):
            gap = (ordered[higher] - ordered[lower]).dropna()
            noise = NOISE * gap.std() / np.sqrt(len(gap)) if len(gap) > 1 else math.inf
            if gap.mean() < -noise - ROUNDING:
                return (
                    f"implausible: the mean of {lower} is above that of {higher} by "
                    f"{-gap.mean():.6g} nats, {NOISE:g} standard errors are {noise:.6g}"
                )
        return ""


def _implausible(name: str, value: float, least: float, most: float) -> str:
    return (
        f"implausible: {name} is {value:.6g} nats, expected {least:.6g} to {most:.6g}"
    )
