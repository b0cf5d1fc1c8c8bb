"""Build the documentation's site into build/docs/site: `make docs`.

Its pages are Markdown of the repository, in the same folders, so that their links hold
here as there; studies in results/published have a page each, with their reports. It
needs no network, and a link that leads nowhere fails it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "docs"
LINKED = ["CITATION.cff", "examples/*.py", "slurm/config.yaml"]
STUDIES = "results/published/*/README.md"
REPORTS = "studies/*/report/*.md"


def main() -> None:
    """Copy the pages, and let mkdocs make the site."""
    shutil.rmtree(BUILD, ignore_errors=True)
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    nav = yaml.safe_load(settings[settings.index("\nnav:") :])["nav"]
    studies = sorted(ROOT.glob(STUDIES))
    published = [_study(readme) for readme in studies]
    [results] = [part["Results"] for part in nav if "Results" in part]
    results += published
    pages = [*_pages(nav), *(path for each in LINKED for path in ROOT.glob(each))]
    for page in pages:
        copy = BUILD / "pages" / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, copy)
    # what mkdocs inherits from: with the studies that there are
    (BUILD / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\n" + yaml.safe_dump({"nav": nav}), "utf-8"
    )
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    # the notice is about Material's own future, on every build
    done = subprocess.run(
        [*mkdocs, "-f", BUILD / "mkdocs.yml"],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    if done.returncode:
        sys.exit(done.returncode)
    print(BUILD / "site" / "index.html")


def _study(readme: Path) -> dict[str, list[dict[str, str]]]:
    """The pages of a published study."""
    folder = readme.parent
    pages = {"Datasheet": readme} | {
        path.stem.capitalize(): path for path in sorted(folder.glob(REPORTS))
    }
    named = [{title: str(path.relative_to(ROOT))} for title, path in pages.items()]
    return {f"Study {folder.name}": named}


def _pages(nav: list | dict | str) -> list[Path]:
    """Every page of a navigation."""
    if isinstance(nav, str):
        return [ROOT / nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in _pages(part)]


if __name__ == "__main__":
    main()
