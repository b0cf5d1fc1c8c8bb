"""Table 1 as it is printed and as Markdown."""

import io

from results_fixture import write_results
from rich.console import Console

from comvae.plan import Block, Plan
from comvae.report import print_report, write_report
from comvae.tables import write_tables


def plan_of(models: dict[str, str]) -> Plan:
    blocks = [Block("mnist", model, (0, 1, 2)) for model in models]
    return Plan("t", ["mnist"], models, blocks, None)


def test_report_shows_ours_beside_the_papers_and_what_is_missing(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE", "compound-mixture": "Compound"})
    failed = [("mnist", "compound-mixture", 1)]
    write_results(tmp_path, datasets=["mnist"], models=list(plan.models), failed=failed)
    write_tables(tmp_path, plan)
    printed = io.StringIO()
    print_report(tmp_path, plan, Console(file=printed, width=40))
    markdown = write_report(tmp_path, plan).read_text()
    for text in (printed.getvalue(), markdown):
        assert "[114.02]" in text and "[112.33]" in text  # the paper's vanilla L_rec
        assert "±" in text and "…" not in text
        assert "Vanilla VAE" in text and "Compound" in text
        assert "failed" in text and "compound-mixture" in text
    assert "make dashboard" in printed.getvalue()


def test_a_model_without_runs_says_so(tmp_path):
    plan = plan_of({"vanilla": "Vanilla VAE"})
    write_tables(tmp_path, plan)  # nothing is there
    assert "| not finished [112.33] |" in write_report(tmp_path, plan).read_text()
