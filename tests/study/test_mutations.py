"""Study files that someone, or a broken disk, has mangled: a plan or one message."""

import copy
import io
import json
import re
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from comvae.cli import stages
from comvae.study.plan import Plan
from tests.support import ROOT

MODELS_FILE = ROOT / "config" / "models.yaml"
TEXTS = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "config").glob("*.yaml"))
}
ODD = [None, True, False, "", "all", "vanilla", "digits", [], {}, 10**30, 10**400]
ODD += [2**32, -(2**63), 1e308, 5e-324, float("nan"), float("-inf"), "1e400", "١٢"]
ODD += ["a" * 300, "a/../../b", "\x00", "\u202e", "💥" * 50, "null", "1:30:00"]
ODD += [[[[[[]]]]], [None], {"a": {"b": {"c": None}}}, [0, 0], [3, -1], [10**12]]
ODD += [list(range(0, 400, 2)), {"vanilla": 3}]
BROKEN = {
    "nothing": "",
    "comments alone": "# a study\n",
    "a list at the top": "- study: t\n- seeds: 1\n",
    "a number": "3",
    "a text": "study",
    "two documents": "study: t\n---\nseeds: 1\n",
    "a key twice": "study: t\nseeds: 1\nseeds: 2\n",
    "a key twice within": "study: t\ntraining: {epochs: 1, epochs: 2}\n",
    "a tab": "study: t\ntraining:\n\tepochs: 1\n",
    "an open bracket": "study: t\ndatasets: [digits\n",
    "an open quote": 'study: "t\n',
    "an unknown alias": "study: *name\n",
    "an endless alias": "study: &a [*a]\n",
    "an endless mapping": "&a\nstudy: *a\n",
    "a python object": "study: !!python/object/apply:os.system ['touch executed']\n",
    "no number": 'study: !!int ""\n',
    "no fraction": 'study: !!float ""\n',
    "no truth": "study: !!bool perhaps\n",
    "no date": "study: !!timestamp today\n",
    "no such day": "study: 2026-02-31\n",
    "digits without end": f"seeds: {'9' * 5000}\n",
    "a date": "study: 2026-01-01\n",
    "bytes": "study: !!binary aGVsbG8=\n",
    "a set": "study: !!set {a, b}\n",
    "a list as a key": "? [a, b]\n: 1\n",
    "numbers as keys": "1: 2\n3: 4\n",
    "null as a key": "null: 1\n",
    "deep": "study: " + "[" * 5000,
    "deep and closed": "study: " + "[" * 900 + "]" * 900,
    "control characters": "study: \x01\x02\n",
    "long": "study: " + "a" * 2_000_000,
    "a lone surrogate": 'study: t\ndatasets: ["\\ud800"]\nseeds: 1\n',
}
BYTES = {
    "utf-16": TEXTS["config"].encode("utf-16"),
    "utf-8 with a mark": TEXTS["config"].encode("utf-8-sig"),
    "latin-1": "study: größe\n".encode("latin-1"),
    "no text": bytes(range(256)),
    "zeros": bytes(1000),
    "half a utf-16": b"\xff\xfe\x00\xd8",
    "gzip": b"\x1f\x8b\x08\x00" + bytes(50),
}


def configure(content: bytes, models: bytes | None = None) -> tuple[int, str]:
    """Exit status and messages of `comvae configure`, in this process.

    Whatever it plans is read back; a refused study must leave nothing behind.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study, results = folder / "study.yaml", folder / "results"
        study.write_bytes(content)
        if models is not None:
            (folder / "models.yaml").write_bytes(models)
        status, printed, errors = 0, io.StringIO(), io.StringIO()
        with redirect_stdout(printed), redirect_stderr(errors):
            try:
                stages.configure(
                    study,
                    models=MODELS_FILE if models is None else folder / "models.yaml",
                    results=results,
                )
            except typer.Exit as ended:
                status = ended.exit_code
        said = errors.getvalue()
        if status == 0:
            blocks = Plan.read(results).blocks
            paths = [results / "runs" / block.folder / "run.json" for block in blocks]
            assert printed.getvalue().split() == [str(path) for path in paths] != []
            for path, block in zip(paths, blocks, strict=True):
                assert json.loads(path.read_text())["seeds"] == list(block.seeds)
        else:
            assert status == 1 and not results.exists()
            assert said.startswith("Error: ") and said.count("Error: ") == 1, said
            assert re.search(r"(study|models)\.yaml", said), "it names the file"
        return status, said


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """One of the real files, by name, with some values changed, or some bytes."""
    name = draw(st.sampled_from(sorted(TEXTS)))
    values = yaml.safe_load(TEXTS[name])
    odd = st.sampled_from(ODD) | st.integers(-5, 40) | st.floats() | st.text(max_size=9)
    for _ in range(draw(st.integers(0, 3))):
        places = [(inner, key) for inner in containers(values) for key in keys(inner)]
        if not places:
            break
        inner, key = draw(st.sampled_from(places))
        action = draw(st.sampled_from(["drop", "rename", "change", "count", "count"]))
        if action == "drop":
            del inner[key]
        elif action == "rename" and isinstance(inner, dict):
            inner[draw(st.text(max_size=12))] = inner.pop(key)
        elif action == "count" and type(inner[key]) is int:
            inner[key] = draw(st.integers(1, 64))  # which leaves most studies valid
        else:
            inner[key] = copy.deepcopy(draw(odd))
    content = bytearray(yaml.safe_dump(values, allow_unicode=True).encode())
    if draw(st.integers(0, 3)) == 0:
        start = draw(st.integers(0, len(content) - 1))
        end = start + draw(st.integers(0, 40))
        content[start:end] = draw(st.binary(max_size=8))
    return name, bytes(content)


def containers(values: Any) -> list[Any]:
    """The lists and mappings in a value, itself included."""
    if not isinstance(values, (dict, list)):
        return []
    return [values, *(c for key in keys(values) for c in containers(values[key]))]


def keys(values: dict | list) -> list[Any]:
    return list(values) if isinstance(values, dict) else list(range(len(values)))


def test_mutated_studies_are_plans_or_one_message():
    statuses: Counter[int] = Counter()

    @settings(max_examples=500, deadline=None, derandomize=True, database=None)
    @given(mutated())
    def check(case: tuple[str, bytes]) -> None:
        name, content = case
        sound = TEXTS["config"].encode()
        models = name == "models"
        status, _ = configure(sound, content) if models else configure(content)
        statuses[status] += 1

    check()
    assert statuses[0] > 50 and statuses[1] > 200, statuses


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("models", [False, True], ids=["study", "models"])
def test_a_broken_file_is_one_message(name, models):
    content = BROKEN[name].encode()
    sound = TEXTS["config"].encode()
    status, said = configure(sound, content) if models else configure(content)
    assert status == 1
    assert len(said) < 2000, "nobody reads more"


@pytest.mark.parametrize("name", BYTES)
def test_a_file_of_another_encoding_is_understood_or_one_message(name):
    status, _ = configure(BYTES[name])
    assert (status == 0) == name.startswith("utf"), "YAML says how these are read"


def test_aliases_and_merges_of_a_sound_study_are_read():
    text = """
    study: t
    datasets: [digits]
    seeds: {vanilla: &few 2, compound-mixture: *few}
    models: [vanilla, compound-mixture]
    training: &base {epochs: 1}
    evaluation: {<<: {samples: 2}, batch_size: 100}
    """
    assert configure(text.encode()) == (0, "")
