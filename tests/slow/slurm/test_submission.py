"""Where jobs are submitted from, and those that Slurm refuses."""

import signal

from tests.slow.slurm.study import Study
from tests.slow.support import table, wait_for

STUDY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["vanilla"],
    "seeds": 2,
    "training": {"epochs": 1, "hidden": 4},
    "evaluation": {"samples": 1},
    "gap": {"images": 0},
}


def ask_often(profile: dict) -> None:
    """Let Snakemake ask for the states of its jobs sooner than on a shared cluster."""
    profile["slurm-init-seconds-before-status-checks"] = 5


def test_a_refused_submission_ends_its_own_job_alone(cluster):
    def fill_in(profile: dict) -> None:
        ask_often(profile)
        profile["set-resources"]["train"]["slurm_partition"] = (
            "'main' if wildcards.model == 'vanilla' else 'nowhere'"
        )

    models = ["simplified-gaussian", "vanilla"]
    study = Study(cluster, "refused", STUDY | {"models": models})
    study.fill_in(fill_in)
    study.start()
    assert study.wait() == 1, study.said()
    assert "invalid partition specified: nowhere" in study.said()
    assert not study.jobs_of("simplified-gaussian")
    cells = table(study.folder, "cells").set_index("model")["status"]
    assert set(cells["vanilla"]) == {"finished"}
    assert set(cells["simplified-gaussian"]) == {"missing"}


def test_the_command_works_inside_a_slurm_job(cluster):
    study = Study(cluster, "inside", STUDY)
    study.fill_in(ask_often)
    study.run_as_job()
    for stage in ("train", "evaluate"):
        [job] = study.jobs_of("vanilla", stage)
        assert job["JobState"] == "COMPLETED" and job["JOB_GRES"] == "gpu:1"
    assert set(table(study.folder, "cells")["status"]) == {"finished"}


def test_a_cap_holds_for_each_job_and_not_for_their_sum(cluster):
    def fill_in(profile: dict) -> None:
        ask_often(profile)
        profile["resources"] = {"mem_mb": 9000, "runtime": 50}

    models = ["vanilla", "simplified-gaussian", "simplified-mixture"]
    endless = {"epochs": 1_000_000, "hidden": 16}
    settings = STUDY | {"models": models, "training": endless}
    study = Study(cluster, "capped", settings)
    study.fill_in(fill_in)
    study.start()
    wait_for(lambda: all(map(study.jobs_of, models)), "not all submitted", study.said)
    for model in models:
        [job] = study.jobs_of(model)
        assert job["JobState"] in ("PENDING", "RUNNING")
        assert (job["MinMemoryNode"], job["TimeLimit"]) == ("9000M", "00:50:00")
    study.process.send_signal(signal.SIGINT)
    study.wait()
