"""Table 1, the gaps and the claims as they are printed and as Markdown."""

import io

import pandas as pd
from rich.console import Console

from comvae.results.report import print_report, write_report
from comvae.results.tables import write_tables
from comvae.results.tables.attribution import PARTS
from comvae.study.plan import Plan
from tests.results.written import block_of, config_of, write_results
from tests.support import study_in


def plan_of(models: dict[str, str], gap_images: int = 8) -> Plan:
    blocks = [block_of(config_of(model, dataset="mnist")) for model in models]
    return Plan("t", ["mnist"], models, blocks, None, gap_images)


def printed_report(results, plan, width=40) -> str:
    printed = io.StringIO()
    print_report(results, plan, Console(file=printed, width=width))
    return printed.getvalue()


def test_report_shows_ours_beside_the_papers_and_what_is_missing(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE", "compound-mixture": "Compound"})
    failed = [("mnist", "compound-mixture", 1)]
    write_results(tmp_path, datasets=["mnist"], models=list(plan.models), failed=failed)
    write_tables(tmp_path, plan)
    printed = io.StringIO()
    print_report(tmp_path, plan, Console(file=printed, width=40))
    markdown = write_report(tmp_path, plan)["table1"].read_text()
    for text in (printed.getvalue(), markdown):
        assert "[114.02]" in text and "[112.33]" in text  # the paper's vanilla L_rec
        assert "±" in text and "…" not in text
        assert "Vanilla VAE" in text and "Compound" in text
        assert "failed" in text and "compound-mixture" in text
    assert "make dashboard" in printed.getvalue()


def test_a_model_without_runs_says_so(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE"})
    write_tables(tmp_path, plan)  # nothing is there
    markdown = write_report(tmp_path, plan)["table1"].read_text()
    assert "| not finished [112.33] |" in markdown


def test_a_metric_of_another_version_is_left_out(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE"})
    write_results(tmp_path, datasets=["mnist"], models=list(plan.models))
    write_tables(tmp_path, plan)
    before = printed_report(tmp_path, plan)
    path = study_in(tmp_path) / "tables" / "table1.csv"
    table = pd.read_csv(path)
    more = table.drop_duplicates(["dataset", "model", "split"]).assign(metric="none")
    pd.concat([table, more]).to_csv(path, index=False)
    assert printed_report(tmp_path, plan) == before


def test_the_gaps_and_the_gains_over_vanilla_are_shown(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE", "compound-mixture": "Compound"})
    write_results(tmp_path, datasets=["mnist"], models=list(plan.models))
    tables = write_tables(tmp_path, plan)
    printed = printed_report(tmp_path, plan)
    markdown = write_report(tmp_path, plan)["gaps"].read_text()
    gaps = tables["gaps"].set_index(["model", "split", "quantity"])
    for split in ("test", "train"):
        gap = gaps.loc[("compound-mixture", split, "amortization_gap"), "mean"]
        log_px = gaps.loc[("vanilla", split, "log_px"), "mean"]
        for text in (markdown, printed):
            assert f"{gap:.2f} ± 0.00" in text and f"{log_px:.2f} ± " in text
        both = gaps.loc[("compound-mixture", split, "amortization_gap")]
        assert f"[{both['both_low']:.2f}, {both['both_high']:.2f}]" in markdown
    gains = tables["attribution"].set_index(["split", "part"])
    for part in PARTS:
        shown = f"{gains.loc[('test', part), 'effect']:+.2f}"
        assert shown in printed and shown in markdown
    assert "gain over vanilla on training images" in markdown


def test_nothing_is_cut_on_a_narrow_terminal(tmp_path):
    """As the longest title of Table 1, and values of four digits."""
    titles = dict.fromkeys(["vanilla", "compound-mixture"], "Compound mixture, " * 2)
    plan = plan_of(titles)
    write_results(tmp_path, datasets=["mnist"], models=list(titles))
    write_tables(tmp_path, plan)
    gaps = study_in(tmp_path) / "tables" / "gaps.csv"
    table = pd.read_csv(gaps)
    table[["mean", "ci_high"]] -= 1000.0
    table.to_csv(gaps, index=False)
    assert "…" not in printed_report(tmp_path, plan, width=80)


def test_the_claims_are_shown_with_their_verdicts(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE", "compound-mixture": "Compound"})
    write_results(tmp_path, datasets=["mnist"], models=list(plan.models))
    claims = write_tables(tmp_path, plan)["claims"]
    printed = printed_report(tmp_path, plan)
    markdown = write_report(tmp_path, plan)["claims"].read_text()
    for statement in claims["statement"].unique():
        assert statement in markdown
    for text in (printed, markdown):
        for verdict in claims["verdict"].unique():
            assert verdict in text
    assert set(claims["verdict"]) == {"holds here", "not run"}
    for text in (printed, markdown, write_report(tmp_path, plan)["table1"].read_text()):
        words = " ".join(text.split())
        assert "On mnist this study departs from the paper" in words
        assert "8x8 pixels (28x28), epochs 5 (50), hidden 32 (100)." in words
    corrected = claims.loc[claims["p_corrected"].notna(), "p_corrected"]
    assert (corrected < 0.0005).all() and "| <0.001 | <0.001 | holds here |" in markdown
    assert "L_rec: vanilla - compound-mixture on test" in markdown


def test_gaps_that_are_missing_are_named_with_the_reason(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE", "compound-mixture": "Compound"})
    absent = [("mnist", "compound-mixture")]
    write_results(
        tmp_path, datasets=["mnist"], models=list(plan.models), not_measured=absent
    )
    write_tables(tmp_path, plan)
    markdown = write_report(tmp_path, plan)
    for text in (printed_report(tmp_path, plan, 200), markdown["gaps"].read_text()):
        assert f"logs/gap/{plan.blocks[1].folder}.log" in text
    assert "Not finished" not in markdown["table1"].read_text()


def test_a_study_without_gaps_says_so(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE"}, gap_images=0)
    write_results(tmp_path, datasets=["mnist"], models=list(plan.models))
    write_tables(tmp_path, plan)
    assert "`gap.images` is 0" in write_report(tmp_path, plan)["gaps"].read_text()
    assert "measures no gaps" in printed_report(tmp_path, plan)
