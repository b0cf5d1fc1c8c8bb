"""Synthetic studies for the dashboard's tests."""

import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from tests.results.written import OPTIONS, write_results
from tests.support import study_in

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
        what = {"models": FEW, "epochs": 3} | what
        write_results(Path(STUDIES[key].name), **what)
    return shutil.copytree(STUDIES[key].name, root)


def edit(root, name, change):
    """Change a table on disk."""
    path = study_in(root) / "tables" / f"{name}.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def edit_json(path, **changes):
    """Change a JSON file on disk."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path
