"""A Slurm cluster of one node and two fake GPUs, on loopback, in a temporary folder.

Nothing outside of that folder is written or read: a Slurm or munge of this machine
goes on as before. `Cluster.stop` ends what `start` started.
"""

import os
import shutil
import signal
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from tests.slow.support import free_port, processes, run, wait_for

DAEMONS = ("munged", "slurmctld", "slurmd")  # in the order in which they start
PREFIX = "comvae-slurm-"

SLURM_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# a requeued job waits until its old credential has expired, by default two minutes
AuthInfo=socket={root}/munge.socket,cred_expire=5
# listen where the name of this machine leads to, which is loopback
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
# no cgroups, which a container may not have
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
# no database: ended jobs stay in the memory of the controller, for squeue
AccountingStorageType=accounting_storage/none
MinJobAge=7200
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
KillWait=5
OverTimeLimit=0
ReturnToService=2
# more processors and memory than there may be: the tests need little
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000000 Gres=gpu:2
PartitionName=main Nodes=localhost Default=YES MaxTime=2-00:00:00
"""
# Slurm wants distinct device files; nothing ever opens them.
GRES_CONF = """\
NodeName=localhost Name=gpu File=/dev/null
NodeName=localhost Name=gpu File=/dev/zero
"""
# Inside of a job Snakemake drops SLURM_CONF from the environment of these.
CLIENTS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
CLIENT = """\
#!/bin/sh
SLURM_CONF={root}/slurm.conf exec {client} "$@"
"""


class Cluster:
    """The daemons below `root`, and what they know of their jobs."""

    def __init__(self) -> None:
        check_machine()
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self.root.chmod(0o755)  # munged refuses a socket that not everyone can reach
        self.environment = {
            "SLURM_CONF": str(self.root / "slurm.conf"),
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin",
        }

    def start(self) -> None:
        """Start the daemons and wait for the node."""
        settings = {
            "root": self.root,
            "user": psutil.Process().username(),
            "controller_port": free_port(),
            "node_port": free_port(),
        }
        for folder in ("state", "spool", "bin"):
            (self.root / folder).mkdir()
        (self.root / "slurm.conf").write_text(SLURM_CONF.format(**settings))
        (self.root / "gres.conf").write_text(GRES_CONF)
        for name in CLIENTS:
            path, client = self.root / "bin" / name, shutil.which(name)
            path.write_text(CLIENT.format(root=self.root, client=client))
            path.chmod(0o755)
        key = self.root / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        files = {
            "--socket": "munge.socket",
            "--key-file": key.name,
            "--pid-file": "munged.pid",
            "--log-file": "munged.log",
            "--seed-file": "munge.seed",
        }
        self.run("munged", *(f"{each}={self.root / files[each]}" for each in files))
        self.run("slurmctld")
        self.start_node()

    def start_node(self) -> None:
        """Start slurmd and wait until jobs can run on it."""
        self.run("slurmd")
        usable = {"idle", "mixed", "allocated"}
        wait_for(
            lambda: self.run("sinfo", "-h", "-o", "%T").strip() in usable,
            "the node of the test cluster is not usable",
            self.daemon_logs,
        )

    def restart_node(self) -> None:
        """End slurmd and start it again, with its jobs as they are."""
        stop_daemon(self.root, "slurmd")
        self.start_node()

    def run(self, *command: str) -> str:
        """What a command prints, run as on a login node."""
        done = run([*command], self.root, **self.environment)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}\n{self.daemon_logs()}")
        return done.stdout

    def jobs(self, comment: str = "") -> list[dict[str, str]]:
        """What Slurm knows of each job, old ones first; a comment names rule and
        wildcards."""
        found = self.run("scontrol", "--details", "--oneliner", "show", "jobs")
        jobs = [
            dict(pair.split("=", 1) for pair in line.split() if "=" in pair)
            for line in found.splitlines()
            if line.startswith("JobId=")
        ]
        jobs = [job for job in jobs if comment in job.get("Comment", "")]
        return sorted(jobs, key=lambda job: int(job["JobId"]))

    def daemon_logs(self) -> str:
        """The last lines of what the daemons log."""
        return "\n".join(
            "\n".join([path.name, *path.read_text().splitlines()[-10:]])
            for path in sorted(self.root.glob("*.log"))
        )

    def stop(self) -> None:
        """End the jobs and daemons, and remove the folder."""
        stop_below(self.root)


def check_machine() -> None:
    """Raise where the cluster could not start."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    wanted = [*DAEMONS, *CLIENTS]
    missing = [name for name in wanted if not shutil.which(name, path=path)]
    if missing:
        raise RuntimeError(
            f"not installed: {', '.join(missing)}; on Debian and Ubuntu they come with "
            "apt-get install --no-install-recommends slurm-wlm munge"
        )
    name = socket.gethostname()
    if not socket.gethostbyname(name).startswith("127."):
        raise RuntimeError(
            f"the name of this machine, {name}, does not lead to loopback, where Slurm "
            f"has to listen; add `127.0.0.1 {name}` to /etc/hosts"
        )


def stop_below(root: Path) -> None:
    """End the jobs and daemons of the cluster in `root`, and remove the folder."""
    for name in reversed(DAEMONS):
        stop_daemon(root, name)
    while processes := processes_below(root):
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=5)
    shutil.rmtree(root)


def stop_daemon(root: Path, name: str) -> None:
    """End one daemon of the cluster in `root`, if it runs."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((root / f"{name}.pid").read_text()))
        if process.name() != name:
            return  # its number was given to another process
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)


def processes_below(root: Path) -> list[psutil.Process]:
    """The processes that work in `root` or below it, or for the cluster there."""
    configured = str(root / "slurm.conf")
    return processes(
        lambda process: (
            process.environ().get("SLURM_CONF") == configured
            or Path(process.cwd()).is_relative_to(root)
        )
    )
