"""The tables as files for a paper: which are written, what is bold, what is escaped."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from comvae.cli import app
from comvae.results.report import write_paper_tables
from comvae.results.tables import write_tables
from comvae.results.verdicts import best_models
from comvae.study.plan import Plan, study_folder
from tests.results.written import block_of, config_of, write_results

FORMS = {"latex": "tex", "markdown": "md", "csv": "csv"}


def study(results, titles, gap_images=8, seeds=(0, 1, 2)):
    write_results(results, models=list(titles), seeds=seeds)
    blocks = [block_of(config_of(model, seeds)) for model in titles]
    plan = Plan("my_study", ["digits"], titles, blocks, None, gap_images)
    write_tables(results, plan)
    return plan


def runs_of(values):
    """runs.csv of one split, from the values of each model by seed."""
    return pd.DataFrame(
        dict(dataset="d", split="test", model=model, seed=seed, elbo=x, latent_kl=x)
        | {"reconstruction": x}
        for model, found in values.items()
        for seed, x in enumerate(found)
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_table_is_a_file_of_its_form(tmp_path, form):
    plan = study(tmp_path, {"vanilla": "Vanilla", "compound-mixture": "Compound"})
    written = write_paper_tables(tmp_path, plan, form)
    names = {
        f"{table}-digits-{split}"
        for table, splits in {
            "table1": ("train-running", "test"),
            "gaps": ("train", "test"),
            "gains": ("train", "test"),
        }.items()
        for split in splits
    }
    expected = {f"{name}.{FORMS[form]}" for name in names | {"claims-digits"}}
    assert {path.name for path in written} == expected
    assert all(
        path.parent == study_folder(tmp_path, "my_study") / "report" / form
        for path in written
    )
    text = (
        study_folder(tmp_path, "my_study")
        / "report"
        / form
        / f"table1-digits-test.{FORMS[form]}"
    ).read_text(encoding="utf-8")
    table = pd.read_csv(study_folder(tmp_path, "my_study") / "tables" / "table1.csv")
    chosen = (table["split"] == "test") & (table["metric"] == "reconstruction")
    mean = table.loc[chosen, "mean"]
    assert all(f"{x:.2f}" in text for x in mean) and "nats per image" in text
    if form != "csv":
        for word in ("study", "digits", "seeds 0-2", "Lower is better"):
            assert word in text.partition("0.2")[0], word


def test_without_gaps_there_are_no_files_of_gaps(tmp_path):
    plan = study(tmp_path, {"vanilla": "Vanilla"}, gap_images=0)
    names = [path.stem for path in write_paper_tables(tmp_path, plan, "csv")]
    assert [n for n in names if n.startswith(("gaps", "gains"))] == []
    assert "table1-digits-test" in names


def test_latex_escapes_and_has_the_rules_of_booktabs(tmp_path):
    plan = study(tmp_path, {"vanilla": "A_1 & 50% \\x{\N{GREEK SMALL LETTER SIGMA}}"})
    write_paper_tables(tmp_path, plan, "latex")
    text = (
        study_folder(tmp_path, "my_study") / "report/latex/table1-digits-test.tex"
    ).read_text("utf-8")
    assert r"A\_1 \& 50\% \textbackslash{}x\{$\sigma$\} &" in text
    assert r"my\_study" in text and r"$\pm$" in text and "±" not in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\label{tab:table1-digits"):
        assert rule in text
    gaps = (
        study_folder(tmp_path, "my_study") / "report/latex/gaps-digits-test.tex"
    ).read_text("utf-8")
    assert "$-$" in gaps, "a true minus sign"


def test_a_pipe_in_a_title_stays_in_its_cell(tmp_path):
    plan = study(tmp_path, {"vanilla": "A|B"})
    write_paper_tables(tmp_path, plan, "markdown")
    text = (
        study_folder(tmp_path, "my_study") / "report/markdown/table1-digits-test.md"
    ).read_text("utf-8")
    assert r"| A\|B |" in text


def test_the_best_model_is_bold_and_others_are_not(tmp_path):
    plan = study(tmp_path, {"vanilla": "Vanilla", "compound-mixture": "Compound"})
    write_paper_tables(tmp_path, plan, "markdown")
    text = (
        study_folder(tmp_path, "my_study") / "report/markdown/table1-digits-test.md"
    ).read_text("utf-8")
    vanilla, compound = text.splitlines()[-2:]
    assert "**" not in vanilla
    assert compound.count("**") == 4, "two terms; no latent KL is better than another"


def test_best_is_judged_by_differences_paired_over_seeds():
    """The intervals of the means overlap by far; the differences tell them apart."""
    runs = runs_of({"a": [1.0, 5, 9], "b": [1.5, 5.5, 9.5], "c": [0.9, 5.3, 9.1]})
    rivals = {"a", "b", "c"}
    assert best_models(runs, "d", "test", "reconstruction", rivals) == {"a", "c"}
    assert best_models(runs, "d", "test", "elbo", rivals) == {"b", "c"}
    assert best_models(runs, "d", "test", "reconstruction", {"b"}) == {"b"}
    assert best_models(runs, "d", "train", "reconstruction", rivals) == set()


def test_one_seed_tells_no_model_from_the_best():
    runs = runs_of({"a": [1.0], "b": [9.0]})
    found = best_models(runs, "d", "test", "reconstruction", {"a", "b"})
    assert found == {"a", "b"}


def test_a_bound_of_the_scale_is_no_rival(tmp_path):
    """Of models with another encoder than their own none is the best."""
    plan = study(tmp_path, {"vanilla": "Vanilla", "vanilla-optimal-encoder": "Optimal"})
    write_paper_tables(tmp_path, plan, "markdown")
    text = (
        study_folder(tmp_path, "my_study") / "report/markdown/table1-digits-test.md"
    ).read_text("utf-8")
    vanilla, bound = text.splitlines()[-2:]
    assert vanilla.count("**") == 4 and "**" not in bound


def test_the_command_prints_the_files_that_it_writes(tmp_path):
    write_results(tmp_path, models=["vanilla"])
    options = ["report", "--results", str(tmp_path), "--format", "latex"]
    printed = CliRunner().invoke(app, options).stdout.split()
    assert sorted(printed) == sorted(
        map(str, (study_folder(tmp_path, "test") / "report").rglob("*.tex"))
    )
    assert not list((study_folder(tmp_path, "test") / "report").rglob("*.md"))
