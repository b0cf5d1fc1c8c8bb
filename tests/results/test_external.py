"""Results of others: checked, kept once, in tables beside ours, never compared."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from comvae.cli import app
from comvae.errors import ResultsError
from comvae.results.external import NO_SEED, add_external
from comvae.results.report import write_paper_tables, write_report
from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from tests.results.written import MODELS_FILE, write_results
from tests.support import study_in

SOURCE = "Kingma & Welling 2014, https://example.org/a_b"
HEAD = "model,dataset,seed,split,source,reconstruction,latent_kl,negative_elbo"
ROWS = f'VAE+,digits,0,test,"{SOURCE}",10,5,15\nVAE+,digits,1,test,"{SOURCE}",12,5,17\n'


def saved(folder, text, name="others.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / "results", models=["vanilla", "compound-mixture"])


def test_a_file_is_kept_as_it_is_and_again_changes_nothing(tmp_path):
    file = saved(tmp_path, f"{HEAD}\n{ROWS}")
    kept = add_external(file, tmp_path, {"vanilla"})
    assert kept == tmp_path / "external" / "others.csv"
    assert kept.read_bytes() == file.read_bytes()
    before = kept.stat()
    assert add_external(file, tmp_path, {"vanilla"}) == kept
    assert add_external(kept, tmp_path, {"vanilla"}) == kept
    after = kept.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_another_file_of_the_same_name_replaces_nothing(tmp_path):
    kept = add_external(saved(tmp_path, f"{HEAD}\n{ROWS}"), tmp_path, set())
    before = kept.read_bytes()
    other = saved(tmp_path, f"{HEAD}\nB,digits,0,test,s,10,5,15\n")
    with pytest.raises(ResultsError, match=r"rename the file, or delete .*others.csv"):
        add_external(other, tmp_path, set())
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    "text,line,says",
    [
        ("", 1, "no column `dataset`"),
        (f"{HEAD}\n", 1, "no row"),
        ("model,dataset,split,latent_kl\nA,digits,test,5\n", 1, "no column `source`"),
        (
            f"{HEAD},elbow\n",
            1,
            "unknown column `elbow`, expected columns among dataset",
        ),
        (f"{HEAD},seed\n", 1, "column `seed` twice"),
        (f"{HEAD}\nA,digits,0,test, ,1,5,6\n", 2, "no source"),
        (f"{HEAD}\n{ROWS}A,digits,0,test\n", 4, "4 cells, expected 8"),
        (f"{HEAD}\nA,digit,0,test,s,1,5,6\n", 2, "dataset `digit`, expected one of"),
        (f"{HEAD}\nA,digits,0,dev,s,1,5,6\n", 2, "split `dev`, expected one of train"),
        (f"{HEAD}\nvanilla,digits,0,test,s,1,5,6\n", 2, "the model `vanilla`"),
        (f"{HEAD}\nA,digits,-1,test,s,1,5,6\n", 2, "the seed `-1`"),
        (f"{HEAD}\nA,digits,0,test,s,one,5,6\n", 2, "reconstruction `one`"),
        (f"{HEAD}\nA,digits,0,test,s,inf,5,6\n", 2, "reconstruction `inf`"),
        (f"{HEAD}\nA,digits,0,test,s,,,\n", 2, "no value"),
        (f"{HEAD}\nA,digits,0,test,s,1,-5,6\n", 2, "latent_kl is -5 nats, expected 0"),
        (f"{HEAD}\nA,digits,0,test,s,1e9,5,6\n", 2, "reconstruction is 1e+09 nats"),
        (f'{HEAD}\n"A,digits,0,test,s,1,5,6\n', 2, "no CSV"),
        ("model,dataset,split,source,log_px\nA,digits,test,s,9\n", 2, "log_px is 9"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_message(tmp_path, text, line, says):
    file = saved(tmp_path, text)
    with pytest.raises(ResultsError) as raised:
        add_external(file, tmp_path, {"vanilla"})
    message = str(raised.value)
    assert says in message and "expected" in message and "\n" not in message
    assert message.startswith(f"{file}, line {line}: found ")
    assert "correct the file" in message
    assert not (tmp_path / "external").exists()


def test_a_row_stands_once_in_a_file_and_in_all_of_them(tmp_path):
    twice = saved(tmp_path, f"{HEAD}\n{ROWS}{ROWS}", "twice.csv")
    with pytest.raises(ResultsError, match=r"line 4: .*row of .*twice.csv, line 2"):
        add_external(twice, tmp_path, set())
    add_external(saved(tmp_path, f"{HEAD}\n{ROWS}"), tmp_path, set())
    again = saved(tmp_path, f"{HEAD}\n{ROWS}", "again.csv")
    with pytest.raises(ResultsError, match=r"again.csv, line 2: .*others.csv, line 2"):
        add_external(again, tmp_path, set())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResultsError, match=r"none.csv is missing"):
        add_external(tmp_path / "none.csv", tmp_path, set())


def test_external_rows_stand_beside_ours_with_their_source(tmp_path, results):
    plan = Plan.read(results)
    before = write_tables(results, plan)
    add_external(saved(tmp_path, f"{HEAD}\n{ROWS}"), results, plan.models)
    after = write_tables(results, plan)
    for name in ("gaps", "attribution", "claims", "cells"):
        pd.testing.assert_frame_equal(after[name], before[name])
    for name in ("runs", "table1"):
        table = pd.read_csv(study_in(results) / "tables" / f"{name}.csv")
        ours = table[table["source"].isna()]
        assert len(ours) == len(before[name]) and "VAE+" not in set(ours["model"])
        others = table[table["source"].notna()]
        assert set(others["model"]) == {"VAE+"} and set(others["source"]) == {SOURCE}
    rows = after["table1"].set_index(["model", "split", "metric"])
    found = rows.loc[("VAE+", "test", "reconstruction")]
    assert (found["mean"], found["n_seeds"]) == (11.0, 2)


def test_a_row_without_seed_and_of_one_quantity_is_shown(tmp_path, results):
    plan = Plan.read(results)
    text = "dataset,model,split,source,negative_elbo\ndigits,A|B,test,s,20.25\n"
    add_external(saved(tmp_path, text), results, plan.models)
    tables = write_tables(results, plan)
    runs = tables["runs"]
    assert list(runs.loc[runs["source"] == "s", "seed"]) == [NO_SEED]
    table1 = tables["table1"]
    assert list(table1.loc[table1["source"] == "s", "metric"]) == ["negative_elbo"]
    page = write_report(results, plan)["table1"].read_text("utf-8")
    assert r"| A\|B (external: s) | - | - | 20.25 | 1 |" in page


def test_other_datasets_than_the_plans_are_left_out(tmp_path, results):
    plan = Plan.read(results)
    text = f"{HEAD}\n{ROWS}".replace("digits", "mnist")
    add_external(saved(tmp_path, text), results, plan.models)
    assert not write_tables(results, plan)["runs"]["source"].any()


def test_an_external_model_is_never_the_best(tmp_path, results):
    plan = Plan.read(results)
    add_external(saved(tmp_path, f"{HEAD}\n{ROWS}"), results, plan.models)
    write_tables(results, plan)
    write_paper_tables(results, plan, "markdown")
    text = (study_in(results) / "report/markdown/table1-digits-test.md").read_text(
        "utf-8"
    )
    _, compound, external = text.splitlines()[-3:]
    assert external.startswith(f"| VAE+ (external: {SOURCE}) | 11.00 ± ")
    assert "**" not in external and "**" in compound


def test_without_its_file_a_result_is_gone(tmp_path, results):
    plan = Plan.read(results)
    kept = add_external(saved(tmp_path, f"{HEAD}\n{ROWS}"), results, plan.models)
    write_tables(results, plan)
    kept.unlink()
    assert not write_tables(results, plan)["runs"]["source"].any()


def test_a_model_of_the_study_of_the_same_name_is_refused_by_the_tables(
    tmp_path, results
):
    text = f"{HEAD}\n{ROWS}".replace("VAE+", "vanilla")
    kept = add_external(saved(tmp_path, text), results, set())
    with pytest.raises(ResultsError, match=f"{kept}, line 2: found the model"):
        write_tables(results, Plan.read(results))


def test_the_command_knows_our_models(tmp_path):
    def add(model):
        text = f"{HEAD}\n{ROWS}".replace("VAE+", model)
        options = ["--models", str(MODELS_FILE), "--results", str(tmp_path)]
        file = str(saved(tmp_path, text))
        return CliRunner().invoke(app, ["add-result", file, *options])

    assert add("vanilla").exit_code == 1
    done = add("VAE+")
    assert done.exit_code == 0
    assert done.stdout.strip() == str(tmp_path / "external" / "others.csv")
