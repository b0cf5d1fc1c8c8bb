"""`make release` finds what is not ready, each by its file."""

import importlib.util
import shutil
import subprocess
from importlib.metadata import version

import pytest

from tests.support import ROOT

spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

URL = "https://example.org/comvae"


def git(root, *arguments):
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, *arguments], cwd=root, check=True)


@pytest.fixture
def ready(tmp_path):
    """A project whose version is ready to be released."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    text += f"repository-code: {URL}\n" if "repository-code" not in text else ""
    (tmp_path / "CITATION.cff").write_text(text)
    date = text.partition('date-released: "')[2][:10]
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## 0.1.0 ({date})\n")
    (tmp_path / "requirements.lock").write_text(f"numpy=={version('numpy')}\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "All")
    git(tmp_path, "tag", "v0.1.0")
    return tmp_path


def test_what_is_ready_has_no_problem(ready):
    assert list(release.problems(ready)) == []


@pytest.mark.parametrize(
    "file,old,new,message",
    [
        ("CHANGELOG.md", "## 0.1.0 (2", "## 0.1.0 (1", "CHANGELOG.md: found"),
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"', "expected v0.2.0"),
        ("CITATION.cff", "repository-code", "x-code", "no `repository-code`"),
        ("requirements.lock", "numpy==", "numpy==9", "pins numpy 9"),
        ("requirements.lock", "numpy==", "unheard-of==", "found none installed"),
    ],
)
def test_what_is_not_is_said(ready, file, old, new, message):
    path = ready / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = list(release.problems(ready))
    assert any(message in problem for problem in found)
    assert any("uncommitted changes" in problem for problem in found)


def test_an_untagged_commit_is_no_release(ready):
    git(ready, "tag", "-d", "v0.1.0")
    [found] = release.problems(ready)
    assert "expected v0.1.0: git tag -a v0.1.0" in found
