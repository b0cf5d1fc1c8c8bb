"""pyproject.toml, environment.yml and requirements.lock name the same requirements."""

import re
import subprocess
import tomllib
from itertools import chain

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

CONDA_NAMES = {"pytorch": "torch"}
TEXT = {
    *(".py", ".smk", ".md", ".toml", ".yml", ".yaml", ".json", ".csv", ".lock", ".cff"),
    *("", ".txt", ".cfg", ".sh"),
}
MACHINE_PATH = re.compile(
    r"""(?:(?<![\w./$}<>-])|(?<=://))/(?:work|root|home|Users|tmp|mnt|scratch)/[\w.-]+"""
)


def requirements(lines) -> dict[str, Requirement]:
    found = {}
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} stands twice"
        found[CONDA_NAMES.get(name, name)] = requirement
    return found


@pytest.fixture(scope="module")
def project() -> dict[str, Requirement]:
    values = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = values["optional-dependencies"].values()
    return requirements(chain(values["dependencies"], *extras))


@pytest.fixture(scope="module")
def conda() -> dict[str, Requirement]:
    values = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = values["dependencies"]  # the last are those that conda has not
    return requirements([*conda, *pip["pip"]])


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = requirements(line for line in lines if line and not line.startswith("#"))
    for requirement in pinned.values():
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
    return {name: str(r.specifier)[2:] for name, r in pinned.items()}


def test_conda_and_pip_install_the_same(project, conda):
    assert set(conda) - set(project) == {"python", "pip"}
    assert set(project) <= set(conda)
    for name, requirement in project.items():
        assert conda[name].specifier == requirement.specifier, name


def test_python_is_the_same(conda):
    values = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert str(conda["python"].specifier) == values["project"]["requires-python"]


def test_every_requirement_has_a_lower_bound(project):
    for name, requirement in project.items():
        assert any(s.operator == ">=" for s in requirement.specifier), name


def test_an_upper_bound_has_its_reason_beside_it():
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    bounded = [line for line in lines if re.match(r' +"[\w-]+[^"]*<', line)]
    assert len(bounded) == 2
    assert all(re.search(r'", # \w', line) for line in bounded), bounded


def test_the_lock_pins_what_the_project_asks_for(project, lock):
    for name, requirement in project.items():
        assert name in lock, f"{name} is not pinned: run `make lock`"
        assert requirement.specifier.contains(lock[name], prereleases=True), name


def test_the_lock_has_the_versions_of_torch_that_the_study_was_measured_with(lock):
    assert (lock["torch"], lock["torchvision"]) == ("2.14.1", "0.29.1")


def test_the_lock_is_of_an_index_and_not_of_a_machine():
    text = (ROOT / "requirements.lock").read_text()
    assert "file:" not in text and " @ " not in text and "-e " not in text


def test_no_file_names_a_path_of_a_machine():
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    texts = [path for path in files if path.suffix in TEXT]
    assert len(texts) > 50
    named = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in texts
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        for match in MACHINE_PATH.finditer(line)
    ]
    assert named == []


@pytest.mark.parametrize("folder", ["work", "root", "home"])
def test_such_a_path_would_be_seen(folder):
    for text in ("see {}", "path={}", '"{}"', "file://{}", "({})"):
        assert MACHINE_PATH.search(text.format(f"/{folder}/someone")), text


def test_the_image_is_built_of_what_is_there(lock):
    """No daemon builds it here: files, extras and pins are looked at, and each step is
    read by the shell."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.partition(" ") for line in text.splitlines() if line[:1].isupper()]
    for kind, _, rest in steps:
        if kind == "COPY":
            *sources, _target = rest.split()
            assert all((ROOT / source).exists() for source in sources), rest
        if kind == "RUN":
            subprocess.run(["sh", "-n"], input=rest, text=True, check=True)
    values = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [extras] = re.findall(r"'\.\[(.+)\]'", text)
    assert set(extras.split(",")) <= set(values["optional-dependencies"])
    assert {"torch", "torchvision"} <= set(lock)
    [base] = [rest for kind, _, rest in steps if kind == "FROM"]
    version = base.removeprefix("python:").partition("-")[0]
    wanted = Requirement(f"python{values['requires-python']}")
    assert wanted.specifier.contains(version)
