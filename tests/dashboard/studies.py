"""Synthetic studies for the dashboard's tests."""

import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from comvae.results.tables import write_tables
from comvae.study.plan import Block, Plan
from tests.results.written import GAP_IMAGES, OPTIONS, write_results

FEW = ("vanilla", "simplified-mixture", "compound-mixture")
TITLES = [OPTIONS[model].title for model in FEW]
BLOCK = "seeds-0-2"
EVIL = "<script>x</script> ![i](http://e) **b** $x$ :red[r]"
STUDIES = {}


def write_study(root, **what):
    """Synthetic results with every table that `comvae tables` writes.

    They are written once for all tests that ask for the same, and then copied.
    """
    key = repr(sorted(what.items()))
    if key not in STUDIES:
        STUDIES[key] = tempfile.TemporaryDirectory()
        _write_study(Path(STUDIES[key].name), **what)
    return shutil.copytree(STUDIES[key].name, root)


def plan_of(models=FEW, seeds=(0, 1, 2), datasets=("digits",)):
    """The plan of such a study."""
    titles = {model: OPTIONS[model].title for model in models}
    blocks = [Block(d, m, tuple(seeds)) for d in datasets for m in models]
    return Plan("test", list(datasets), titles, blocks, None, len(GAP_IMAGES))


def _write_study(root, *, models=FEW, seeds=(0, 1, 2), datasets=("digits",), **what):
    what = {"epochs": 3, "tables": False, **what}
    write_results(root, models=models, seeds=seeds, datasets=datasets, **what)
    plan = plan_of(models, seeds, datasets)
    study = {"study": "test", "models": plan.models, "gap_images": len(GAP_IMAGES)}
    (root / "study.json").write_text(json.dumps(study))
    write_tables(root, plan)


def edit(root, name, change):
    """Change a table on disk."""
    path = root / "tables" / f"{name}.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def edit_json(path, **changes):
    """Change a JSON file on disk."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path
