"""A study of models that start from another's block, which it does not name."""

import shutil

import torch
from safetensors.torch import load_file

from tests.slow.support import make_study, table, write_study

STUDY = {
    "study": "started",
    "datasets": ["digits"],
    "models": ["half-asleep", "svi-10"],
    "seeds": 2,
    "training": {"epochs": 2, "hidden": 16},
    "evaluation": {"samples": 2},
    "gap": {"images": 40, "ais": "off", "importance_draws": 500},
}


def test_what_it_does_not_name_is_trained_once_and_no_more(tmp_path):
    study = write_study(tmp_path, STUDY)
    done = make_study(tmp_path, study)
    assert done.returncode == 0, done.stdout
    results = tmp_path / "results"
    runs = table(tmp_path, "runs")
    assert set(runs["model"]) == {"half-asleep", "svi-10"}
    assert not (results / "evaluations" / "digits" / "vanilla").exists()

    def weights(model):
        [path] = results.glob(f"runs/digits/{model}/*/seeds-0-1/weights.safetensors")
        return load_file(path)

    start, trained, stepped = map(weights, ("vanilla", "half-asleep", "svi-10"))
    for name, tensor in start.items():
        same = torch.equal(tensor, trained[name])
        assert same == name.startswith("decoder."), name
        assert torch.equal(tensor, stepped[name]), name
    [curve] = results.glob("evaluations/digits/svi-10/*/seeds-0-1/svi.csv")
    assert len(curve.read_text().splitlines()) == 1 + 2 * 2 * (5 + 4)

    shutil.rmtree(results / "runs" / "digits" / "vanilla")
    again = make_study(tmp_path, study, "--dry-run")
    assert "Nothing to be done" in again.stdout, again.stdout
