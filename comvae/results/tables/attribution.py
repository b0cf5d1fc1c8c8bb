"""What a model's better ELBO consists of: a better generative model, or narrower gaps?

ELBO = log p(x) - approximation gap - amortization gap at mean weights - weight noise,
image by image. So the difference in ELBO of two models is a sum of four parts, exactly.
"""

import pandas as pd

from comvae.results.formats import ATTRIBUTION
from comvae.results.quantities import EVALUATED_SPLITS, QUANTITIES
from comvae.results.statistics import effect, paired
from comvae.study.plan import Plan

BASELINE = "vanilla"
PARTS = {
    name: -1 if QUANTITIES[name].better == "lower" else 1
    for name in (
        "elbo",
        "log_px",
        "approximation_gap",
        "amortization_gap_mean_weights",
        "weight_noise_gap",
    )
}
"""How a column of runs.csv enters the ELBO: the first part is the sum of the others."""


def attribution(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """The parts of each model's ELBO over that of vanilla, in nats per image.

    A positive effect improves the ELBO: a narrower gap counts as positive. Paired over
    the seeds that both models have, with a 95% interval over them.
    """
    rows = []
    for dataset in plan.datasets if plan.gap_images else []:
        for model in plan.models:
            for split in EVALUATED_SPLITS if model != BASELINE else ():
                cell = dict(dataset=dataset, model=model, split=split)
                for part, sign in PARTS.items():
                    terms = [(sign, model, split), (-sign, BASELINE, split)]
                    difference = effect(paired(runs, dataset, part, terms))
                    rows.append(cell | dict(part=part) | difference)
    return pd.DataFrame(rows, columns=ATTRIBUTION.columns)
