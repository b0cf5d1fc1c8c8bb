"""What no study names is listed, and removed where one says so; nothing else is."""

import pytest
import yaml
from typer.testing import CliRunner

from comvae.cli import app
from comvae.study.loading import load_study
from tests.results.written import block_of, evaluation_of, write_block
from tests.support import ROOT

MODELS = ROOT / "config" / "models.yaml"
STUDY = {"study": "t", "datasets": ["digits"], "models": ["vanilla"], "seeds": 2}


def terms(seed, split, when):
    return {"reconstruction": 5.0, "latent_kl": 1.0, "negative_elbo": 6.0}


@pytest.fixture
def folder(tmp_path):
    """Two studies, of which one is no longer in config; the results of both."""
    (tmp_path / "config").mkdir()
    for name, epochs in (("kept", 3), ("gone", 4)):
        path = tmp_path / "config" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(STUDY | {"training": {"epochs": epochs}}))
        for model in ("vanilla", "simplified-mixture"):
            write_block(tmp_path / "results", config(path, model), terms)
    path.rename(tmp_path / "gone.yaml")
    return tmp_path


def config(path, model="vanilla"):
    study = load_study(source=path, models=MODELS)
    if model not in study.models:
        values = STUDY | {"models": [model], "training": study.study.training}
        study = load_study(values, source=path, models=MODELS)
    return study.run_config("digits", model, [0, 1])


def forget(folder, *options):
    arguments = ["forget", "--unused", "--studies", folder / "config", *options]
    arguments += ["--models", MODELS, "--results", folder / "results"]
    return CliRunner().invoke(app, list(map(str, arguments)))


def runs(folder):
    return {path.parent for path in folder.glob("results/*/*/*/*/seeds-0-1")}


def test_what_a_model_starts_from_is_in_use(folder):
    path = folder / "config" / "kept.yaml"
    path.write_text(path.read_text().replace("- vanilla", "- half-asleep"))
    assert forget(folder, "--yes").exit_code == 0
    assert runs(folder) == places(folder, config(path, "vanilla"))


def places(folder, *configs):
    results, blocks = folder / "results", [block_of(each) for each in configs]
    runs = {results / "runs" / block.folder.parent for block in blocks}
    return runs | {evaluation_of(results, block).parent for block in blocks}


def test_what_no_study_names_is_listed_and_then_removed(folder):
    before, kept = runs(folder), places(folder, config(folder / "config" / "kept.yaml"))
    assert len(before) == 8 and kept < before
    listed = forget(folder)
    assert listed.exit_code == 0 and runs(folder) == before
    assert "MB could be removed: the same command with --yes" in listed.stderr
    assert all(str(path) in listed.stdout for path in before - kept)
    assert not any(str(path) in listed.stdout for path in kept)
    removed = forget(folder, "--yes")
    assert removed.exit_code == 0 and removed.stdout == listed.stdout
    assert runs(folder) == kept
    assert not (folder / "results" / "runs" / "digits" / "simplified-mixture").exists()
    again = forget(folder)
    assert (again.stdout, again.stderr) == ("", "nothing is unused\n")


def test_a_study_elsewhere_keeps_its_results(folder):
    gone = folder / "gone.yaml"
    assert forget(folder, "--yes", "--studies", gone).exit_code == 0
    assert runs(folder) == places(
        folder, config(gone), config(folder / "config" / "kept.yaml")
    )


def test_what_is_in_training_stays(folder):
    block = folder / "results" / "runs" / block_of(config(folder / "gone.yaml")).folder
    (block / "state").mkdir()
    assert forget(folder, "--yes").exit_code == 0
    assert block.exists()


def test_nothing_is_removed_where_there_is_no_study(folder):
    before = runs(folder)
    (folder / "config" / "kept.yaml").unlink()
    refused = forget(folder, "--yes")
    assert refused.exit_code == 1 and "found no study file" in refused.stderr
    assert runs(folder) == before


def test_nothing_is_removed_where_a_study_cannot_be_read(folder):
    before = runs(folder)
    (folder / "config" / "broken.yaml").write_text("study: t\nepochs: 3\n")
    refused = forget(folder, "--yes")
    assert refused.exit_code == 1 and "broken.yaml" in refused.stderr
    assert runs(folder) == before
