"""The Snakemake report: tables and figures with their captions, without a network."""

import base64
import re

import yaml

from comvae.results.report import write_report
from comvae.study.plan import Plan
from dashboard.render.site import MAIN, build
from tests.dashboard.studies import FEW, write_study
from tests.test_workflow import snakemake


def test_the_report_has_tables_and_figures_with_captions(tmp_path):
    results = write_study(tmp_path / "results")
    write_report(results, Plan.read(results))
    build(results, results / "site", results / "report" / "figures")
    study = tmp_path / "study.yaml"
    study.write_text(
        yaml.safe_dump(
            {"study": "test", "datasets": ["digits"], "models": [*FEW], "seeds": 3}
        )
    )
    report = tmp_path / "report.html"
    done = snakemake(
        "--directory",
        tmp_path,
        "--configfile",
        study,
        "--report",
        report,
        "all",
        "site",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = report.read_text()
    tables = ["table1", "gaps", "claims", "attribution"]
    files = [f"results/tables/{name}.csv" for name in tables]
    files += [f"results/report/{name}.md" for name in tables[:3]]
    files += [f"results/report/figures/digits/{figure}.svg" for figure in MAIN]
    for name in files:
        assert f'"{name}"' in text, name
    for words in ("beside the paper's single value", "Right of 0 the claim holds"):
        assert words in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//[^"]+\.(?:js|css)"', text)
    table = (results / "tables" / "table1.csv").read_bytes()
    assert base64.b64encode(table).decode() in text
