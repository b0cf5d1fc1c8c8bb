"""The Snakemake report: tables and figures with their captions, without a network."""

import base64
import re

import yaml

from comvae.results.report import write_report
from comvae.study.plan import Plan
from dashboard.render.site import MAIN, build
from dashboard.study import load_study
from tests.dashboard.studies import FEW, write_study
from tests.support import study_in
from tests.test_workflow import snakemake


def test_the_report_has_tables_and_figures_with_captions(tmp_path):
    results = write_study(tmp_path / "results")
    write_report(results, Plan.read(results))
    shown = load_study(results)
    build(shown, shown.folder / "site", shown.folder / "report" / "figures")
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
    folder = study_in(results).relative_to(tmp_path)
    files = [f"{folder}/tables/{name}.csv" for name in tables]
    files += [f"{folder}/report/{name}.md" for name in tables[:3]]
    files += [f"{folder}/report/figures/digits/{figure}.svg" for figure in MAIN]
    for name in files:
        assert f'"{name}"' in text, name
    said = "the compound VAE explains test images 1.00"
    for words in (
        said,
        "beside the paper's single value",
        "Right of 0 the claim holds",
    ):
        assert words in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//[^"]+\.(?:js|css)"', text)
    table = (study_in(results) / "tables" / "table1.csv").read_bytes()
    assert base64.b64encode(table).decode() in text
