"""The study in locales that are not UTF-8: its text is UTF-8 all the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow.support import make_study, run, write_study
from tests.support import ROOT, study_in

STUDY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["compound-mixture-static-latent"],  # its title has a mu and a sigma
    "seeds": 1,
    "training": {"epochs": 1, "hidden": 4, "latent": 2},
    "gap": {"images": 0},
}
TITLE = "Compound mixture, plain \u03bc and \u03c3 layers"
LOCALES = {
    "en_US.ISO-8859-1": ("en_US", "ISO-8859-1"),
    "tr_TR.ISO-8859-9": ("tr_TR", "ISO-8859-9"),
}
NO_HELP = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


@pytest.fixture(scope="module", params=[*LOCALES, "C"])
def environment(request, tmp_path_factory) -> dict[str, str]:
    """The variables of a locale, which is made for this test."""
    folder = tmp_path_factory.mktemp("locales")
    if request.param in LOCALES:
        language, charset = LOCALES[request.param]
        made = ["localedef", "-i", language, "-f", charset, folder / request.param]
        subprocess.run(made, check=True)
    own = {"LC_ALL": request.param, "LOCPATH": str(folder)} | NO_HELP
    encoding = "import sys; print(sys.getfilesystemencoding())"
    found = run([sys.executable, "-c", encoding], folder, **own).stdout.strip()
    assert found in ("iso8859-1", "iso8859-9", "ascii"), "the locale is in force"
    return own


def test_the_study_is_made_and_its_text_is_utf_8(environment, tmp_path):
    study = write_study(tmp_path, STUDY)
    done = make_study(tmp_path, study, **environment)
    assert done.returncode == 0, done.stdout
    results = tmp_path / "results"
    assert f"| {TITLE} |" in (study_in(results) / "report" / "table1.md").read_text(
        "utf-8"
    )
    plan = json.loads((study_in(results) / "study.json").read_text("utf-8"))
    assert list(plan["models"].values()) == [TITLE]
    assert titles(results) == {TITLE}

    snakemake = ["snakemake", "--cores", "2", "--force", "report"]
    snakemake += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(study)]
    for command in (["comvae", "report"], ["comvae", "track"], snakemake):
        again = run([sys.executable, "-m", *command], tmp_path, **environment)
        assert again.returncode == 0, again.stdout
    assert titles(results) == {TITLE}


def titles(results: Path) -> set[str]:
    """Of the runs in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{results}/mlflow/mlflow.db")
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return {each.data.params["options.title"] for each in found}
