"""On paper: what 1 to 256 GPUs would take for a corpus, from the cost of one task, and what stops them.

python bench/scaling.py                                             # with the defaults below
python bench/scaling.py --speed 1500 --startup 12 --disk-gb 5       # with figures of your own machines
python bench/scaling.py --measure                                   # what a task costs the launcher of this machine

Every task is simulated: workers start, load the models over the shared disk, are handed shards by one launcher, and
write each shard while they encode the next. Nothing here runs a model; `bench/extract.py` measures --speed.
"""

import argparse
import heapq
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mer.backends import LocalBackend, Slot, Task, TaskDone

GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MEGABYTES_PER_SECOND = {"P+S+W+T": 0.37, "F+P+S+W+T": 1.29}
"""Of audio: 9.3 and 32.4 GB for the 7.0 hours of IEMOCAP, float16, 12 layers of 768."""
SHARD_MEGABYTES = 256.0


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What is paid for a corpus, in seconds unless said otherwise."""

    speed: float
    """Seconds of audio that one worker encodes in a second."""
    startup: float
    """Of a worker: its imports."""
    models_gb: float
    """Read by every worker from the shared disk."""
    disk_gb: float
    """Gigabytes per second that the shared disk reads or writes for all together."""
    launcher: float
    """Of the launcher, for one task."""
    planning: float
    """Of the launcher, for one utterance, before the first task."""
    utterance: float
    """Mean length of an utterance."""


@dataclass(frozen=True)
class Simulated:
    """One row."""

    seconds: float
    limits: dict[str, float]
    """Seconds that each cost alone would take, all workers together."""


def simulate(hours: float, granularity: str, workers: int, costs: Costs) -> Simulated:
    """List scheduling of equal shards; a worker commits a shard while it makes the next, and waits for no more than that."""
    audio = hours * 3600
    megabytes = audio * MEGABYTES_PER_SECOND[granularity]
    tasks = max(1, round(megabytes / SHARD_MEGABYTES))
    encode, write = audio / tasks / costs.speed, megabytes / tasks / 1000 / costs.disk_gb
    planned = audio / costs.utterance * costs.planning
    loaded = costs.startup + workers * costs.models_gb / costs.disk_gb
    free = [(planned + loaded, planned + loaded)] * workers  # when a worker can begin, when its last shard is on disk
    launcher = disk = 0.0
    for _ in range(tasks):
        ready, written = heapq.heappop(free)
        launcher = max(launcher, ready) + costs.launcher
        encoded = max(launcher + encode, written)
        disk = max(disk, encoded) + write
        heapq.heappush(free, (encoded, disk))
    limits = {
        "encoding": audio / costs.speed / workers,
        "the shared disk": megabytes / 1000 / costs.disk_gb,
        "the launcher": tasks * costs.launcher,
        "planning": planned,
        "starting workers": loaded,
        "the last shards": encode if tasks % workers else 0.0,
    }
    return Simulated(seconds=max(written for _, written in free), limits=limits)


def table(hours: float, granularity: str, costs: Costs) -> Iterator[str]:
    """Rows in Markdown."""
    megabytes = hours * 3600 * MEGABYTES_PER_SECOND[granularity]
    full = costs.disk_gb * 1000 / (costs.speed * MEGABYTES_PER_SECOND[granularity])
    yield (
        f"\n{hours:,.0f} h, {granularity}: {megabytes / 1e6:,.2f} TB in {megabytes / SHARD_MEGABYTES:,.0f} shards; "
        f"the shared disk takes what {full:,.1f} GPUs make\n"
    )
    yield "| GPUs | time | speed-up | of a GPU's time used | what takes longest besides encoding |"
    yield "|---|---|---|---|---|"
    alone = simulate(hours, granularity, 1, costs).seconds
    for workers in GPUS:
        found = simulate(hours, granularity, workers, costs)
        used = found.limits["encoding"] / found.seconds
        limit = max((name for name in found.limits if name != "encoding"), key=found.limits.__getitem__)
        times = alone / found.seconds
        yield f"| {workers} | {duration(found.seconds)} | {times:.1f} | {used:.0%} | {limit}: {duration(found.limits[limit])} |"


def duration(seconds: float) -> str:
    """For people."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


@dataclass(frozen=True)
class EmptyWork:
    """Units that cost nothing but their artefact, an empty file."""

    folder: Path

    def is_done(self, task: Task) -> bool:
        """One look at the disk, as for a shard's sidecar."""
        return (self.folder / task.name).exists()

    @contextmanager
    def open(self, slot: Slot) -> Iterator["EmptyWorker"]:
        """Nothing to load."""
        yield EmptyWorker(self.folder)


@dataclass(frozen=True)
class EmptyWorker:
    """Worker of `EmptyWork`."""

    folder: Path

    def do(self, task: Task, *, share: float, tell: Callable[[object], None]) -> None:
        """Commit at once."""
        (self.folder / task.name).touch()
        tell(TaskDone(name=task.name))

    def finish(self) -> None:
        """Nothing is under way."""


def measured_launcher(tasks: int, workers: int) -> float:
    """Seconds of this machine per task that is handed to one of several processes, done there and told."""
    done: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        made = (Task(name=str(number), cost=1.0, content=None) for number in range(tasks))
        LocalBackend(workers=workers).run(EmptyWork(Path(folder)), made, tell=lambda event: done.append(time.perf_counter()))
    return (done[-1] - done[0]) / (len(done) - 1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[400.0, 100_000.0])
    parser.add_argument("--granularity", nargs="+", choices=list(MEGABYTES_PER_SECOND), default=["P+S+W+T"])
    parser.add_argument("--speed", type=float, default=1500.0, help="seconds of audio per second of one GPU")
    parser.add_argument("--startup", type=float, default=10.0, help="seconds until a worker has imported everything")
    parser.add_argument("--models-gb", type=float, default=0.8, help="GB of weights that every worker reads")
    parser.add_argument("--disk-gb", type=float, default=2.0, help="GB/s of the shared disk")
    parser.add_argument("--launcher-ms", type=float, default=1.0, help="ms of the launcher per shard")
    parser.add_argument("--planning-us", type=float, default=10.0, help="us of planning per utterance before the first shard")
    parser.add_argument("--utterance", type=float, default=4.55, help="mean length of an utterance in seconds")
    parser.add_argument("--measure", action="store_true", help="only measure --launcher-ms on this machine")
    given = parser.parse_args()
    if given.measure:
        print(f"launcher: {measured_launcher(4000, 2) * 1000:.2f} ms per task, 4000 empty tasks through 2 processes")
        return
    costs = Costs(
        speed=given.speed,
        startup=given.startup,
        models_gb=given.models_gb,
        disk_gb=given.disk_gb,
        launcher=given.launcher_ms / 1000,
        planning=given.planning_us / 1e6,
        utterance=given.utterance,
    )
    print(costs)
    for hours in given.hours:
        for granularity in given.granularity:
            print("\n".join(table(hours, granularity, costs)))


if __name__ == "__main__":
    main()
