"""The command of the README on a real Slurm, undisturbed and with its jobs lost."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import psutil
import pytest

from tests.slow.slurm.study import COMMAND, Study
from tests.slow.support import check_complete, table, wait_for
from tests.support import ROOT

STUDY = {
    "study": "small",
    "datasets": ["digits"],
    "models": ["vanilla", "simplified-gaussian", "simplified-mixture"],
    "seeds": 2,
    "training": {"epochs": 200, "hidden": 16},
    "evaluation": {"samples": 2},
    "gap": {"images": 20, "ais": "off", "importance_draws": 500},
}
MODELS = STUDY["models"]
TABLES = ["runs", "table1", "gaps", "attribution", "claims", "cells"]
STAGES = ["train", "evaluate", "gap"]


def ask_often(profile: dict) -> None:
    """Let Snakemake ask for the states of its jobs sooner than on a shared cluster."""
    profile["slurm-init-seconds-before-status-checks"] = 5


@pytest.fixture(scope="module")
def undisturbed(cluster) -> Study:
    """A study whose jobs nobody touches, with the profile of the repository."""
    study = Study(cluster, "undisturbed", STUDY)
    study.fill_in(ask_often)
    study.start()
    assert study.wait() == 0, study.said()
    return study


def test_the_readme_names_the_command():
    assert f"`{' '.join(COMMAND)}`" in (ROOT / "README.md").read_text()


def test_every_cell_of_the_tables_is_there(undisturbed):
    check_complete(undisturbed.folder, MODELS)


def test_the_gpu_stages_were_slurm_jobs_on_one_gpu_each(undisturbed):
    jobs = [job for m in MODELS for s in STAGES for job in undisturbed.jobs_of(m, s)]
    assert len(jobs) == len(MODELS) * len(STAGES)
    for job in jobs:
        assert job["JobState"] == "COMPLETED" and job["JOB_GRES"] == "gpu:1", job
        assert job["TresPerJob"] == "gres:gpu:1", "--gpus=1"
    everything = undisturbed.cluster.jobs()
    ours = [job for job in everything if job["WorkDir"] == str(undisturbed.folder)]
    assert len(ours) == len(jobs), "the light stages run where Snakemake runs"


def test_slurm_logs_are_beside_those_of_the_rules(undisturbed):
    for model in MODELS:
        for stage in STAGES:
            [job] = undisturbed.jobs_of(model, stage)
            block = f"digits_{model}_*_seeds-0-1"
            logs = f"logs/slurm/rule_{stage}/{block}/{job['JobId']}.log"
            [log] = undisturbed.folder.glob(logs)
            assert "Finished jobid" in log.read_text()


def cancel_then_kill(study: Study) -> None:
    """Cancel a job by scancel; SIGKILL what the second attempt runs."""
    first = study.training_of("vanilla")
    assert "SLURM_TRES_PER_TASK" not in first.environ(), "srun would heed it"
    assert first.environ()["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    study.cluster.run("scancel", study.jobs_of("vanilla")[-1]["JobId"])
    study.training_of("vanilla", after=first.pid).kill()


def hang_past_the_limit(study: Study) -> None:
    """Let a job do nothing until its time is over."""
    study.training_of("simplified-gaussian").suspend()


def requeue_then_restart_node(study: Study) -> None:
    """Requeue a job; restart slurmd in the middle of its second run."""
    first = study.training_of("simplified-mixture")
    [job] = study.jobs_of("simplified-mixture")
    study.cluster.run("scontrol", "requeue", job["JobId"])
    second = study.training_of("simplified-mixture", after=first.pid)
    study.cluster.restart_node()
    assert second.is_running(), "it was restarted too late to test anything"


def test_lost_jobs_change_no_number(cluster, undisturbed):
    """Cancelled, killed, requeued, past its time limit, and slurmd restarted."""

    def fill_in(profile: dict) -> None:
        ask_often(profile)
        train = profile["set-resources"]["train"]
        # the first attempt of one block hangs, and has a minute
        train["runtime"] = "1 if 'gaussian' in wildcards.model and attempt == 1 else 60"
        train["slurm_extra"] = "''"  # no warning: it would end the block that hangs
        train |= {"gpu": 0, "gres": "'gpu:1'"}  # the other way to ask for a GPU
        profile["resources"] = {"mem_mb": 30_000, "runtime": 50}

    study = Study(cluster, "disturbed", STUDY)
    study.fill_in(fill_in)
    study.start(SLURM_TRES_PER_TASK="gres:gpu:9")  # more than the cluster has
    disasters = (cancel_then_kill, hang_past_the_limit, requeue_then_restart_node)
    with ThreadPoolExecutor() as pool:  # in the order in which Slurm starts the blocks
        for done in [pool.submit(disaster, study) for disaster in disasters]:
            done.result()
    assert study.wait() == 0, study.said()
    states = {m: [job["JobState"] for job in study.jobs_of(m)] for m in MODELS}
    assert states == {
        "vanilla": ["CANCELLED", "FAILED", "COMPLETED"],
        "simplified-gaussian": ["TIMEOUT", "COMPLETED"],
        "simplified-mixture": ["COMPLETED"],
    }
    assert study.jobs_of("simplified-mixture")[0]["Restarts"] == "1"
    jobs = {model: study.jobs_of(model) for model in MODELS}
    memory = [job["MinMemoryNode"] for job in jobs["vanilla"]]
    assert memory == ["12000M", "24000M", "30000M"], "by attempt, up to the cap"
    limits = [job["TimeLimit"] for job in jobs["simplified-gaussian"]]
    assert limits == ["00:01:00", "00:50:00"]

    check_complete(study.folder, MODELS)
    for name in TABLES:
        expected, found = (
            table(each.folder, name).drop(columns="train_seconds", errors="ignore")
            for each in (undisturbed, study)
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def first_process_of_job(process: psutil.Process) -> psutil.Process:
    """The ancestor that Slurm itself started."""
    line = [process, *process.parents()]
    return next(each for each in line if each.parent().name() == "slurmstepd")


def test_training_heeds_the_warning_before_the_time_limit(cluster):
    """Both when Slurm tells all processes of a job, as on this cluster, and when it
    tells the first one alone, as it does on those with cgroups."""

    def fill_in(profile: dict) -> None:
        ask_often(profile)
        # the warning comes two minutes before: within the first minute
        profile["set-resources"]["train"]["runtime"] = (
            "3 if wildcards.model == 'vanilla' else 60"
        )

    models = ["vanilla", "simplified-mixture"]
    endless = {"epochs": 1_000_000, "hidden": 16}
    study = Study(
        cluster,
        "warned",
        STUDY | {"models": models, "training": endless, "gap": {"images": 0}},
    )
    study.fill_in(fill_in)
    study.start()
    first = {model: study.training_of(model) for model in models}
    first_process_of_job(first["simplified-mixture"]).send_signal(signal.SIGUSR1)
    for model in reversed(models):
        first[model].wait(timeout=90)
        assert "SIGUSR1: the current step is finished first" in study.log_of(model)
        states = f"results/runs/digits/{model}/*/seeds-0-1/state"
        assert list(study.folder.glob(f"{states}/checkpoint-*.safetensors"))
    for model in models:
        study.training_of(model, after=first[model].pid)
        assert "goes on in epoch" in study.log_of(model)
        assert study.jobs_of(model)[0]["JobState"] == "FAILED"

    study.process.send_signal(signal.SIGINT)
    wait_for(
        lambda: not cluster.run("squeue", "--noheader").strip(),
        "Ctrl-C leaves jobs in the queue",
        study.said,
    )
