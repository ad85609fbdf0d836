"""Tasks on a Ray cluster; a node that is lost costs the tasks that it had."""

import logging
import math
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

from mer.backends.attempt import Attempt, TryFailure
from mer.backends.in_process import NOT_COMMITTED
from mer.backends.ledger import Ledger
from mer.backends.look_ahead import TASKS_AHEAD, LookAhead
from mer.backends.ray_task import TaskOutcome, do_task
from mer.backends.work import BackendError, Slot, Task, TaskFailed, Work, WorkerLost

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 10.0  # after so long without a result: are there more nodes, or none?
NODES_LOST = 10  # per task: a node that goes is not the task's fault, but for ever is too long
ELSEWHERE = -1  # any place: the node to avoid is left out when a task is submitted
QUEUED = 4  # one more task than there is room for, per so many, so that none waits for the launcher


@dataclass(frozen=True, kw_only=True, slots=True)
class RayBackend:
    """Tasks on the nodes of a cluster that is running; mer is installed on all of them."""

    workers: int | None = None
    """Tasks at a time. None: as many as the cluster has room for, which may change."""
    device: str = "cpu"
    """`cpu` or `cuda`: Ray shows a task only its own GPU."""
    threads: int = 1
    """CPU threads of a task, and the cores that it asks for."""
    gpus_per_worker: float = 0.0
    """GPUs that a task asks for: 0.5 lets two share one."""
    address: str | None = None
    """`HOST:PORT`, `ray://HOST:PORT`. None: the cluster that this machine belongs to."""

    def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        """Do the tasks; see `Backend.run`. The work's events come when their task ends."""
        with redirect_stdout(sys.stderr):  # where Ray prints what its nodes say; results alone belong to stdout
            return self._run(work, tasks, tell)

    def _run(self, work: Work, tasks: Iterable[Task], tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        ray, connected = self._connect()
        try:
            ledger = Ledger(work, workers=2, tell=tell)  # a second try is always somewhere: another process or node
            flight = _Flight(ray, self, ledger)
            ahead = LookAhead(work, tasks, size=TASKS_AHEAD * flight.room(), tell=ledger.tell)
            if ahead.fill():
                flight.run(work, ahead)
            return ledger.failed
        finally:
            if connected:
                ray.shutdown()

    def _connect(self) -> tuple[Any, bool]:
        """Ray, and whether it was connected here."""
        if self.threads < 1 or self.gpus_per_worker < 0 or (self.workers is not None and self.workers < 1):
            raise BackendError(
                f"at least 1 worker and 1 thread and no negative share of a GPU, got {self.workers} workers, {self.threads} "
                f"threads, {self.gpus_per_worker} GPUs"
            )
        if find_spec("ray") is None:
            raise BackendError('--backend ray needs Ray: pip install "mer-fusion[ray]"')
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        if ray.is_initialized():
            return ray, False
        address = self.address or os.environ.get("RAY_ADDRESS") or "auto"
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            where = "this machine" if address == "auto" else address
            raise BackendError(
                f"no Ray cluster at {where} ({error}): start one with `ray start --head`, or give --ray-address HOST:PORT"
            ) from None
        return ray, True

    def room_on(self, resources: Mapping[str, float]) -> int:
        """Tasks that a node with these resources can run at a time."""
        room = resources.get("CPU", 0.0) / self.threads
        if self.gpus_per_worker:
            room = min(room, resources.get("GPU", 0.0) / self.gpus_per_worker)
        return int(room)


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself goes on trying for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


class _Flight:
    """The tasks of one run that are in the cluster's hands."""

    def __init__(self, ray: Any, backend: RayBackend, ledger: Ledger) -> None:
        self._ray, self._backend, self._ledger = ray, backend, ledger
        self._run = uuid4().hex
        self._tasks: dict[Any, int] = {}
        self._begun = 0
        self._nodes_lost: Counter[str] = Counter()
        self._nodes: list[str] = []

    def room(self) -> int:
        """Tasks to have in the cluster's hands.

        Raises:
            BackendError: no node is large enough for one.
        """
        nodes = self._alive()
        room = sum(nodes.values())
        if not room:
            have = {name: count for name, count in self._ray.cluster_resources().items() if name in ("CPU", "GPU")}
            raise BackendError(
                f"a task needs {self._backend.threads} CPUs and {self._backend.gpus_per_worker:g} GPUs of one node, and no "
                f"node of the Ray cluster has that; it has {have} in all"
            )
        return self._backend.workers or room + math.ceil(room / QUEUED)

    def run(self, work: Work, ahead: LookAhead) -> None:
        """Keep the cluster busy until every task is done or has failed."""
        sent = self._ray.put(work)
        try:
            while self._submit(sent, ahead):
                waiting = list(self._tasks)
                self._ray.wait(waiting, num_returns=1, timeout=LOOK_SECONDS)
                for task in self._ray.wait(waiting, num_returns=len(waiting), timeout=0)[0]:
                    self._take(task, self._tasks.pop(task))
        finally:
            for task in self._tasks:
                self._ray.cancel(task, force=True)

    def _submit(self, work: Any, ahead: LookAhead) -> bool:
        """Fill the room; whether a task is under way."""
        room = self.room()
        while len(self._tasks) < room:
            attempt = self._ledger.try_again(ELSEWHERE)
            if attempt is None:
                task = ahead.take()
                if task is None:
                    break
                attempt = Attempt(task=task)
            self._begun += 1
            self._ledger.begin(attempt, self._begun)
            slot = Slot(number=0, device=self._backend.device, threads=self._backend.threads)
            self._tasks[self._function(attempt.avoid).remote(self._run, work, attempt, slot)] = self._begun
        return bool(self._tasks)

    def _function(self, avoid: int | None) -> Any:
        """The remote function; not on the node to avoid, if another one is large enough.

        Ray's own retries are off: it would try a task that needs too much memory again as it is.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        threads = str(self._backend.threads)
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "THP_MEM_ALLOC_ENABLE": "1"}
        options: dict[str, Any] = {
            "num_cpus": self._backend.threads,
            "num_gpus": self._backend.gpus_per_worker,
            "max_retries": 0,
            "runtime_env": {"env_vars": environment},
        }
        if avoid is not None:
            others = [node for node, room in self._alive().items() if room and node != self._nodes[avoid]]
            if others:
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(others[self._begun % len(others)], soft=True)
        return self._ray.remote(**options)(do_task)

    def _alive(self) -> dict[str, int]:
        """Room on every node that is there."""
        return {node["NodeID"]: self._backend.room_on(node["Resources"]) for node in self._ray.nodes() if node["Alive"]}

    def _take(self, task: Any, number: int) -> None:
        from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, WorkerCrashedError

        try:
            outcome: TaskOutcome = self._ray.get(task)
        except NodeDiedError as error:
            self._lose(number, error, memory=False)
        except (WorkerCrashedError, OutOfMemoryError) as error:
            self._lose(number, error, memory=True)
        except RayError as error:
            raise BackendError(f"Ray: {error}") from None
        else:
            self._settle(outcome, number)

    def _settle(self, outcome: TaskOutcome, number: int) -> None:
        if outcome.refused is not None:
            raise outcome.refused
        if outcome.node not in self._nodes:
            self._nodes.append(outcome.node)
        place = self._nodes.index(outcome.node)
        for event in outcome.events:
            self._ledger.hear(event, place=place)
        self._ledger.settle(number, outcome.failure or NOT_COMMITTED, place=place)

    def _lose(self, number: int, error: Exception, *, memory: bool) -> None:
        """A process or a whole node has ended under a task."""
        reason = " ".join(str(error).split("\n")[0].split())
        self._ledger.tell(WorkerLost(number=number, host="a node of the Ray cluster", reason=reason))
        names = self._ledger.held_by(number)
        self._nodes_lost.update(names)
        if memory or any(self._nodes_lost[name] > NODES_LOST for name in names):
            self._ledger.settle(number, TryFailure(reason=reason, memory=memory))
        else:
            self._ledger.take_back(number)
