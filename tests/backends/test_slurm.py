"""Job arrays through submitit: on its processes of this machine, and on a stand-in for sbatch and srun."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from submitit.local.local import LocalJob

from mer.backends import BackendError, Notice, TaskDone, TaskFailed, WorkerLost
from mer.backends.slurm import SlurmBackend
from mer.tests.backends.toy_work import ToyWork, check_whole, commits, task, tries, wait_until

SBATCH = """#!{python}
import os, re, subprocess, sys
text = open(sys.argv[1]).read()
with open({record!r}, "a") as record:
    record.write(text)
found = re.search(r"--array=0-(\\d+)", text)
for number in range(int(found[1]) + 1) if found else [None]:
    array = {{}} if number is None else {{"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": str(number)}}
    env = os.environ | {{"SLURM_JOB_ID": "77" if number is None else str(100 + number)}} | array
    quiet = {{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}}
    subprocess.Popen(["bash", sys.argv[1]], env=env, start_new_session=True, **quiet)
print("Submitted batch job 77")
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do [[ $1 == --unbuffered ]] && shift || shift 2; done
exec "$@"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster of this machine; the file has what was given to sbatch."""
    programs, record = tmp_path / "programs", tmp_path / "sbatch.txt"
    programs.mkdir()
    texts = {"sbatch": SBATCH.format(python=sys.executable, record=str(record)), "srun": SRUN, "sacct": SACCT}
    for name, text in texts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return record


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def signal_when_begun(folder: Path, name: str, number: signal.Signals) -> threading.Thread:
    """Send a signal to the process that begins a task for the first time."""

    def follow() -> None:
        file = folder / "begun" / f"{name}.0"
        wait_until(lambda: file.exists() and file.read_text() != "")
        os.kill(json.loads(file.read_text())["pid"], number)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_preempted_task_is_requeued_and_completed(tmp_path: Path, out: Path) -> None:
    tasks = [task("a"), task("b"), task("c", "wait", "commit"), task("d"), task("e"), task("f")]
    thread = signal_when_begun(out, "c", signal.SIGUSR2)
    told: list[object] = []
    backend = SlurmBackend(workers=2, folder=tmp_path / "logs", cluster="local", poll_seconds=0.05)
    assert backend.run(ToyWork(out), tasks, tell=told.append) == ()
    thread.join()
    check_whole(out, set("abcdef"))
    assert {name: commits(out, name) for name in "abcdef"} == dict.fromkeys("abcdef", 1)
    assert [record["share"] for record in tries(out, "c")] == [1.0, 1.0]
    assert sorted(event.name for event in told if isinstance(event, TaskDone)) == list("abcdef")
    logs = "".join(log.read_text() for log in (tmp_path / "logs").rglob("*_log.*"))
    assert "this job is preempted" in logs
    assert "Requeued job" in logs


@pytest.mark.slow
def test_a_killed_task_is_submitted_once_more_and_what_it_may_have_died_of_comes_last(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # submitit waits so long for the result of a job that has ended, for slow file systems.
    monkeypatch.setattr(LocalJob, "_results_timeout_s", property(lambda job: 0, lambda job, seconds: None), raising=False)
    tasks = [task("a"), task("b", "kill"), task("c"), task("d"), task("e", "disk", "commit")]
    told: list[object] = []
    backend = SlurmBackend(workers=1, folder=tmp_path / "logs", cluster="local", poll_seconds=0.05)
    failed = backend.run(ToyWork(out), tasks, tell=told.append)
    assert [(one.name, one.tries) for one in failed] == [("b", 2)]
    assert "has not produced any output" in failed[0].reason
    check_whole(out, set("acde"))
    assert [record["share"] for record in tries(out, "b")] == [1.0, 0.5]
    assert len([event for event in told if isinstance(event, WorkerLost)]) == 2
    ends = [event.name for event in told if isinstance(event, TaskDone | TaskFailed)]
    assert sorted(ends) == list("abcde")


@pytest.mark.slow
def test_an_array_does_the_tasks_with_the_parameters_that_were_asked_for(tmp_path: Path, out: Path, slurm: Path) -> None:
    tasks = [task(str(number), cost=number + 1.0) for number in range(12)]
    tasks[4] = task("4", "disk", "commit", cost=5.0)
    told: list[object] = []
    parameters = {"partition": "gpu", "time": "1-02:00:00", "mem": "32G", "setup": "module load cuda"}
    backend = SlurmBackend(
        workers=3, folder=tmp_path / "logs", device="cuda", threads=2, parameters=parameters, poll_seconds=0.05
    )
    assert backend.run(ToyWork(out), iter(tasks), tell=told.append) == ()
    check_whole(out, {str(number) for number in range(12)})
    assert {record["slot"] for number in range(12) for record in tries(out, str(number))} == {0, 1, 2}
    assert {record["threads"] for number in range(12) for record in tries(out, str(number))} == {"2"}
    assert {record["device"] for number in range(12) for record in tries(out, str(number))} == {"cuda"}
    assert len(tries(out, "4")) == 2
    sbatch = slurm.read_text()
    for line in ("--partition=gpu", "--time=1560", "--mem=32G", "--cpus-per-task=2", "--gpus-per-node=1", "--array=0-2%3"):
        assert f"#SBATCH {line}\n" in sbatch
    assert "\nmodule load cuda\n" in sbatch
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert "3 workers submitted, job 77" in notices[0]
    assert str(tmp_path / "logs") in notices[0]


@pytest.mark.slow
def test_jobs_go_on_when_their_launcher_ends(tmp_path: Path, out: Path, slurm: Path) -> None:
    def interrupt(event: object) -> None:
        if isinstance(event, Notice):
            raise KeyboardInterrupt

    backend = SlurmBackend(workers=2, folder=tmp_path / "logs", poll_seconds=0.05)
    with pytest.raises(KeyboardInterrupt):
        backend.run(ToyWork(out), [task(name) for name in "abcd"], tell=interrupt)
    wait_until(lambda: len(list(out.glob("done/*"))) == 4)
    check_whole(out, set("abcd"))


@pytest.mark.slow
def test_a_work_that_every_task_refuses_is_an_error_with_the_place_of_the_log(tmp_path: Path, out: Path, slurm: Path) -> None:
    backend = SlurmBackend(workers=2, folder=tmp_path / "logs", poll_seconds=0.05)
    with pytest.raises(BackendError, match=r"node has torch 2\.10; log: .*logs"):
        backend.run(ToyWork(out, "refuse"), [task("a"), task("b")], tell=lambda event: None)


def test_what_is_done_is_not_submitted(tmp_path: Path, out: Path) -> None:
    backend = SlurmBackend(workers=1, folder=tmp_path / "logs", cluster="local")
    (out / "done").mkdir()
    (out / "done" / "a").touch()
    told: list[object] = []
    assert backend.run(ToyWork(out), [task("a")], tell=told.append) == ()
    assert told == [TaskDone(name="a")]


def test_without_submitit_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.backends.slurm.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'pip install "mer-fusion\[slurm\]"'):
        SlurmBackend(workers=1, folder=tmp_path).run(ToyWork(tmp_path), [task("a")], tell=lambda event: None)


def test_without_slurm_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"no Slurm here .*srun.*login node"):
        SlurmBackend(workers=1, folder=tmp_path).run(ToyWork(tmp_path), [task("a")], tell=lambda event: None)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"partion": "gpu"}, r"--slurm: Unavailable parameter.*'partion'"),
        ({"time": "two hours"}, "--slurm time=two hours: give minutes"),
    ],
)
def test_parameters_that_slurm_does_not_know_are_refused_by_name(
    tmp_path: Path, slurm: Path, parameters: dict[str, str], says: str
) -> None:
    with pytest.raises(BackendError, match=says):
        SlurmBackend(workers=1, folder=tmp_path / "logs", parameters=parameters).run(
            ToyWork(tmp_path), [task("a")], tell=lambda event: None
        )


def test_an_sbatch_that_refuses_is_quoted(tmp_path: Path, out: Path, slurm: Path) -> None:
    sbatch = tmp_path / "programs" / "sbatch"
    sbatch.write_text("#!/bin/bash\necho 'invalid partition specified' >&2\nexit 1\n")
    assert subprocess.run([sbatch], capture_output=True).returncode == 1
    with pytest.raises(BackendError, match=r"could not be submitted.*invalid partition specified"):
        SlurmBackend(workers=1, folder=tmp_path / "logs").run(ToyWork(out), [task("a")], tell=lambda event: None)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("90:30", 91), ("2:00:00", 120), ("1:30:01", 91), ("1-12", 2160), ("1-12:30", 2190), ("2-00:00:30", 2881)],
)
def test_time_limits_are_read_as_sbatch_reads_them(text: str, minutes: int, tmp_path: Path, slurm: Path) -> None:
    backend = SlurmBackend(workers=1, folder=tmp_path / "logs", parameters={"time": text})
    assert backend._executor(tmp_path / "logs").parameters["time"] == minutes
