"""Finished runs -> tidy tables: one row per run, then statistics over the seeds."""

import json
from pathlib import Path

import pandas as pd

from comvae.files import AGAIN, write_text
from comvae.results import paths
from comvae.results.blocks import write_table
from comvae.results.claims import CLAIMS, OOD_CLAIMS, RIVAL_CLAIMS
from comvae.results.external import with_external
from comvae.results.formats import RUNS
from comvae.results.quantities import QUANTITIES
from comvae.results.tables.attribution import attribution
from comvae.results.tables.departures import departures, with_other_images
from comvae.results.tables.finished import collect
from comvae.results.tables.gaps import add_gaps, collect_gaps, gaps_table
from comvae.results.tables.ood import ood_runs, ood_table, with_own_sign
from comvae.results.tables.paper import table1
from comvae.results.tables.readings import readings_table
from comvae.results.tables.rivals import curve_table, load_price, rivals_table
from comvae.results.verdicts import claims_table
from comvae.study.plan import Plan


def lacking(cells: pd.DataFrame) -> list[str]:
    """Why the tables are not those of the whole study, each reason once: of runs that
    are missing, and of files that must be made again."""
    missing = cells["detail"][cells["status"] == "missing"]
    reasons = pd.concat([cells["detail"], cells["gap_detail"]])
    damaged = reasons[reasons.str.endswith(AGAIN)]
    return list(pd.concat([missing, damaged]).unique())


def write_tables(results: Path, plan: Plan) -> dict[str, pd.DataFrame]:
    """Write every table of the study below its folder.

    Whatever is damaged or missing becomes a row that says so; nothing is left out.
    Where nothing is, `complete.json` beside them says so.
    External rows are in `runs` and `table1` alone: differences are between our runs.
    Raises ResultsError for a file of external results that cannot be used.
    """
    runs, cells = collect(results, plan.blocks)
    gaps, intervals, problems = collect_gaps(results, plan, cells)
    runs, cells = add_gaps(runs, cells, gaps, problems)
    rivals = [claim for claim in RIVAL_CLAIMS if claim.models <= set(plan.models)]
    claims, claimed = (*CLAIMS, *rivals), runs
    if plan.ood:
        scored = ood_runs(results, plan)
        claims, claimed = (*claims, *OOD_CLAIMS), with_own_sign(runs, scored)
    shown = with_external(runs, results, plan)
    optional = [
        name
        for name in RUNS.columns
        if name in QUANTITIES and QUANTITIES[name].optional and shown[name].isna().all()
    ]
    tables = {
        "runs": shown.drop(columns=optional),
        "table1": table1(shown, with_other_images(results, plan)),
        "gaps": gaps_table(plan, gaps, intervals),
        "attribution": attribution(plan, runs),
        "claims": claims_table(plan, claimed, departures(results, plan), claims),
        "cells": cells,
    }
    folder = plan.folder(results)
    complete = paths.complete(folder)
    complete.unlink(missing_ok=True)
    for name in ("readings", "ood", "rivals", "svi"):  # of an earlier plan
        paths.table(folder, name).unlink(missing_ok=True)
    if plan.ood:
        tables["ood"] = ood_table(plan, scored)
    if plan.rivals:
        price = load_price(folder)
        tables["rivals"] = rivals_table(plan, runs, price)
        curve = curve_table(results, plan, price)
        tables |= {} if curve.empty else {"svi": curve}
    if plan.readings:
        tables["readings"] = readings_table(plan, runs)
    for name, table in tables.items():
        write_table(paths.table(folder, name), table)
    if not lacking(cells):
        write_text(complete, json.dumps({"runs": len(cells)}))
    return tables
