"""Table 1, the gaps and the claims as Markdown, in nats per image."""

import pandas as pd

from comvae.results.claims import of_source
from comvae.results.formats import BOTH, STATUS
from comvae.results.quantities import (
    QUANTITIES,
    RUNNING,
    SPLITS,
    markdown_table,
    names,
)
from comvae.results.statistics import COVERS, p_text, reach, with_interval
from comvae.results.tables.attribution import PARTS
from comvae.results.verdicts import RESOLUTION, in_words
from comvae.study.plan import Plan

IN_TABLE1 = (RUNNING, "test")  # the paper's rows of a model, in its order
ON_GAPS = ("test", "train")
SHOWN_GAPS = (
    "elbo",
    "elbo_optimal",
    "log_px",
    "approximation_gap",
    "amortization_gap",
    "weight_noise_gap",
)
TABLE1 = (
    "Nats per image: mean ± half of the 95% interval over seeds, and the paper's value "
    f"in brackets where there is one. Lower is better. {COVERS}"
)
GAPS = (
    "Nats per image: mean ± half of the 95% interval over seeds. ELBO = log p(x) - "
    "approximation gap - amortization gap; the best ELBO is that of the best diagonal "
    "Gaussian of each image. Weight noise is what drawing the weights costs against "
    "their means, a part of the amortization gap. Median and 95% quantile are those of "
    f"the amortization gap over the images. {COVERS} The one in brackets, of the "
    "amortization gap, is over both.\n\n"
    "Gains over vanilla are paired over seeds; what improves the ELBO is positive, a "
    "narrower gap too, and the four parts add up to the gain in ELBO."
)
CLAIMS = (
    "Effects in nats per image, paired over seeds, ± half of the 95% interval. A claim "
    "is supported where the whole interval lies above its bar (0 unless it says "
    "otherwise), contradicted where it lies below, and inconclusive else, with one "
    f"seed, within {RESOLUTION} nats of the bar, or where its p value, corrected for "
    "the number of claims (Holm), is not below 0.05. A claim of several parts needs "
    f"all of them. {COVERS}\n\n"
    "The claims are about the paper's datasets and settings: elsewhere they hold here, "
    "or do not hold here."
)
READINGS = (
    "readings: ratios to vanilla on test images [the paper's], and the distance to the "
    "paper's pattern (docs/paper.md)"
)
TRUST = ["withheld", "log_px_error", "certificate"]
NOT_MEASURED = "This study measures no gaps: its setting `gap.images` is 0."


def table1_page(
    plan: Plan,
    table1: pd.DataFrame,
    claims: pd.DataFrame,
    readings: pd.DataFrame | None,
    cells: pd.DataFrame,
    headlines: list[str],
) -> str:
    """What is found, in a sentence on each dataset; ours beside the paper's, by dataset
    and split; other readings of its rows, where there are any; what did not finish."""
    sections = {
        f"{dataset}, {SPLITS[split].images}": _by_model(
            plan, of_dataset[of_dataset["split"] == split], _metrics
        )
        for dataset, of_dataset in table1.groupby("dataset", sort=False)
        for split in IN_TABLE1
    }
    if readings is not None:
        sections |= {
            f"{dataset}, {READINGS}": reading_rows(plan, of_dataset)
            for dataset, of_dataset in readings.groupby("dataset", sort=False)
        }
    unfinished = cells.loc[cells["status"] != "finished", STATUS]
    sections |= {"Not finished": unfinished.astype(str)}
    legend = "\n\n".join([*headlines, *departures(claims).values(), TABLE1])
    return _page(f"Table 1 of the study `{plan.study}`", legend, sections)


def gaps_page(
    plan: Plan,
    gaps: pd.DataFrame,
    attribution: pd.DataFrame,
    rivals: pd.DataFrame | None,
    cells: pd.DataFrame,
) -> str:
    """The gaps of every model, the parts of its gain over vanilla, of a study with
    rivals what they close and cost, and what is missing."""
    title = f"Gaps of the study `{plan.study}`"
    if not plan.gap_images:
        return _page(title, NOT_MEASURED, {})
    sections = {}
    for dataset in plan.datasets:
        for split in ON_GAPS:
            for heading, table, cells_of in (
                ("gaps on", gaps, _gaps),
                ("gain over vanilla on", attribution, _gains),
                ("trust in log p(x) on", gaps[gaps["quantity"].isin(TRUST)], _trust),
            ):
                chosen = (table["dataset"] == dataset) & (table["split"] == split)
                rows = _by_model(plan, table[chosen], cells_of)
                sections[f"{dataset}, {heading} {SPLITS[split].images}"] = rows
        if rivals is not None:
            rows = _by_model(plan, rivals[rivals["dataset"] == dataset], _price)
            sections[f"{dataset}, gap closed on test images, and price"] = rows
    missing = cells[cells["gap"] == "missing"]
    missing = missing.assign(status=missing["gap"], detail=missing["gap_detail"])
    sections["Not measured"] = missing[STATUS].astype(str)
    return _page(title, GAPS, sections)


def claims_page(plan: Plan, claims: pd.DataFrame) -> str:
    """Every claim on every dataset of the study."""
    sections = {
        f"{dataset}, claims of {source}": claim_rows(these)
        for (dataset, source), these in claims.groupby(
            ["dataset", claims["claim"].map(of_source)], sort=False
        )
    }
    legend = "\n\n".join([CLAIMS, *departures(claims).values()])
    return _page(f"Claims in the study `{plan.study}`", legend, sections)


def departures(claims: pd.DataFrame) -> dict[str, str]:
    """What differs from the paper in words, by dataset where something does."""
    found = claims.groupby("dataset", sort=False)["departures"].first()
    return {name: in_words(name, what) for name, what in found.items() if what}


def _page(title: str, legend: str, sections: dict[str, pd.DataFrame]) -> str:
    """Tables of texts below their headings; those without a row are left out."""
    parts = [f"# {title}", legend]
    for heading, table in sections.items():
        if len(table):
            parts += [f"## {heading}", markdown_table(table, table.to_numpy())]
    return "\n\n".join(parts) + "\n"


def model_title(plan: Plan, model: str, rows: pd.DataFrame) -> str:
    """The title of a model of the study, or the name of another and its source."""
    source = rows["source"].iloc[0] if "source" in rows else ""
    if source:
        return f"{model} (external: {source})"
    return plan.models.get(model, model)


def _by_model(plan: Plan, table: pd.DataFrame, cells_of) -> pd.DataFrame:
    """A row of texts for each model: its title, what `cells_of` it gives, its seeds."""
    rows = [
        {"model": model_title(plan, model, cells)}
        | cells_of(cells)
        | {"seeds": f"{cells['n_seeds'].max():.0f}"}
        for model, cells in table.groupby("model", sort=False)
    ]
    return pd.DataFrame(rows).fillna("-")


def _metrics(cells: pd.DataFrame) -> dict[str, str]:
    return {
        QUANTITIES[cell.metric].heading: _beside(cell)
        for cell in cells.itertuples()
        if cell.metric in QUANTITIES  # a table may be of a later version
    }


def _beside(cell) -> str:
    text = with_interval(cell.mean, cell.ci_high, cell.n_seeds) or "not finished"
    return text if pd.isna(cell.paper) else f"{text} [{cell.paper:.2f}]"


def _gaps(cells: pd.DataFrame) -> dict[str, str]:
    by_quantity = cells.set_index("quantity").reindex(SHOWN_GAPS)  # older: not all
    row = {}
    for name in SHOWN_GAPS:
        cell = by_quantity.loc[name]
        shown = with_interval(cell["mean"], cell["ci_high"], cell["n_seeds"])
        row[QUANTITIES[name].heading] = shown or "-"
        if name == "amortization_gap":
            both = [f"{end:.2f}" for end in cell[BOTH].dropna()]
            row["over seeds and images"] = f"[{', '.join(both)}]" if both else "-"
    gap = by_quantity.loc["amortization_gap"]
    for name, quantile in (("median", "median"), ("95%", "q95")):
        row[name] = f"{gap[quantile]:.2f}" if gap["n_seeds"] else "-"
    return row


def _price(cells: pd.DataFrame) -> dict[str, str]:
    """By how much the gap is narrower than vanilla's, and what that costs."""
    [found] = cells.to_dict("records")
    ends = found["effect"], found["ci_high"], found["n_seeds"]
    spent = {
        ", ".join(filter(None, [QUANTITIES[name].title, QUANTITIES[name].unit])): (
            "-" if pd.isna(value := found[name]) else f"{value:,.{3 * (value < 100)}f}"
        )
        for name in names(table="rivals")
    }
    return {"gap closed": with_interval(*ends, "+") or "-"} | spent


def _trust(cells: pd.DataFrame) -> dict[str, str]:
    """What says how far log p(x) may be off; files of earlier versions have none. The
    certificate is as far as its interval over the seeds reaches from zero."""
    by_name = cells.set_index("quantity").reindex(TRUST)
    found = by_name["mean"].copy()
    found["certificate"] = reach(by_name.loc["certificate"])
    forms = dict(zip(TRUST, ("{:.1%}", "{:.3f} nats", "{:.3f} nats"), strict=True))
    return {
        QUANTITIES[name].heading: form.format(found[name])
        if pd.notna(found[name])
        else "-"
        for name, form in forms.items()
    }


def _gains(cells: pd.DataFrame) -> dict[str, str]:
    by_part = cells.set_index("part").reindex(PARTS)
    return {QUANTITIES[part].heading: _effect(by_part.loc[part]) for part in PARTS}


def _effect(cell: pd.Series) -> str:
    return with_interval(cell["effect"], cell["ci_high"], cell["n_seeds"], "+") or "-"


def reading_rows(plan: Plan, readings: pd.DataFrame) -> pd.DataFrame:
    """A row of texts for each reading, the best one of each row of Table 1 in bold;
    ratios are on test images, beside the paper's on MNIST."""
    rows = []
    shown = (readings["split"] == "test") & (readings["paper_dataset"] == "mnist")
    for cell in readings[shown].itertuples():
        distance = with_interval(cell.distance, cell.ci_high, cell.n_seeds)
        row = {"row": plan.models.get(cell.row, cell.row)}
        row["reading"] = plan.models.get(cell.model, cell.model)
        for term in ("reconstruction", "latent_kl"):
            ours = getattr(cell, f"{term}_ratio")
            theirs = getattr(cell, f"paper_{term}_ratio")
            text = "not finished" if pd.isna(ours) else f"{ours:.2f}"
            row[QUANTITIES[term].heading] = f"{text} [{theirs:.2f}]"
        row["distance, %"] = f"**{distance}**" if cell.best else distance or "-"
        row["vanilla's, %"] = f"{cell.vanilla_distance:.2f}"
        rows.append(row | {"seeds": f"{cell.n_seeds:.0f}"})
    return pd.DataFrame(rows)


def claim_rows(claims: pd.DataFrame) -> pd.DataFrame:
    """One row per claim, or one for it and one for each of its parts."""
    rows = []
    for _, parts in claims.groupby("claim", sort=False):
        first = parts.iloc[0]
        whole = {"claim": first["statement"], "verdict": first["verdict"]}
        whole |= {
            "p": p_text(first["p_value"]),
            "p, Holm": p_text(first["p_corrected"]),
        }
        if len(parts) == 1:
            rows.append(_part(first) | whole)
            continue
        rows.append(whole)
        if set(parts["part_verdict"]) != {"not run"}:
            rows += [_part(part) for _, part in parts.iterrows()]
    columns = ["claim", "effect is", "effect", "seeds", "p", "p, Holm", "verdict"]
    return pd.DataFrame(rows, columns=columns).fillna("")


def _part(part: pd.Series) -> dict[str, str]:
    metric = QUANTITIES[part["metric"]]
    what = metric.short if metric.in_paper else metric.title.lower()
    bar = f", more than {part['at_least']:g}" if part["at_least"] else ""
    return {
        "effect is": f"{what}: {part['definition']}{bar}",
        "effect": _effect(part),
        "seeds": f"{part['n_seeds']:.0f}",
        "verdict": f"({part['part_verdict']})",
    }
