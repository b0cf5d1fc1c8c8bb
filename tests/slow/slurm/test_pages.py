"""The pages on clusters, followed as they stand on a real Slurm."""

import pandas as pd
import yaml

from tests.blocks import Reader
from tests.slow.support import wait_for
from tests.support import ROOT

DOCS = ROOT / "docs"


def test_the_pages_on_clusters_do_what_they_say(cluster):
    folder = cluster.root / "reader" / "comvae"
    reader = Reader(folder, frozenset({"Slurm"}), **cluster.environment)
    path = folder / "slurm" / "config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["slurm-init-seconds-before-status-checks"] = 5
    path.write_text(yaml.safe_dump(profile))

    reader.follow(DOCS / "tutorials" / "cluster.md")
    cells = pd.read_csv(folder / "trial" / "studies" / "trial" / "tables" / "cells.csv")
    assert (cells["status"] == "finished").all() and (cells["gap"] == "measured").all()
    trained = cluster.jobs("rule_train_wildcards_digits_")
    assert [job["JobState"] for job in trained] == ["COMPLETED"] * 2

    reader.follow(DOCS / "slurm.md")
    tables = folder / "results" / "studies" / "paper" / "tables"
    assert (pd.read_csv(tables / "cells.csv")["status"] == "finished").all()
    wait_for(
        lambda: not cluster.run("squeue", "--noheader").strip(),
        "the page's last job has not ended",
        cluster.daemon_logs,
        patience=300,
    )
