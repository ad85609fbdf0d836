"""The path to a GPU: what waits for what, told without one; and, with one, that its numbers are those of the plain path."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mer.backends import Slot
from mer.backends.in_process import run_here
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, Resources, extract, segment_means
from mer.extract.cuda_path import CudaPath
from mer.extract.device_path import PlainPath
from mer.extract.workers import load_encoders

MakeManifest = Callable[..., Path]


class Streams:
    """Stands in for `torch.cuda` on the CPU and notes what is asked of it, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.now, made = "compute", iter(["up", "down"])
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(next(made), self.log))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("compute", self.log))
        monkeypatch.setattr(torch.cuda, "stream", self.inside)
        numbers = iter(range(99))
        monkeypatch.setattr(torch.cuda, "Event", lambda **given: Event(next(numbers), self.log))
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: self.log.append(f"kept for {stream.name}"))
        copy, move, empty = torch.Tensor.copy_, torch.Tensor.to, torch.empty

        def noted_copy(target: torch.Tensor, values: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
            self.log.append(f"{self.now}: copy back, {'not ' if non_blocking else ''}waited for")
            return copy(target, values)

        def noted_move(values: torch.Tensor, device: torch.device, non_blocking: bool = False) -> torch.Tensor:
            self.log.append(f"{self.now}: copy there, {'not ' if non_blocking else ''}waited for")
            return move(values, device)

        def pinned(size: int, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
            self.log.append(f"{size} values pinned" if pin_memory else "not pinned")
            return empty(size, dtype=dtype)

        monkeypatch.setattr(torch.Tensor, "copy_", noted_copy)
        monkeypatch.setattr(torch.Tensor, "to", noted_move)
        monkeypatch.setattr(torch, "empty", pinned)

    @contextmanager
    def inside(self, stream: "Stream") -> Iterator[None]:
        before, self.now = self.now, stream.name
        yield
        self.now = before


class Stream:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self._log = name, log

    def wait_stream(self, other: "Stream") -> None:
        self._log.append(f"{self.name} waits for {other.name}")

    def wait_event(self, event: "Event") -> None:
        self._log.append(f"{self.name} waits for mark {event.number}")


class Event:
    def __init__(self, number: int, log: list[str]) -> None:
        self.number, self._log = number, log

    def record(self, stream: Stream) -> None:
        self._log.append(f"mark {self.number} on {stream.name}")

    def synchronize(self) -> None:
        self._log.append(f"host waits for mark {self.number}")

    def elapsed_time(self, later: "Event") -> float:
        return 1000.0 * (later.number - self.number)


def test_copies_run_beside_what_is_computed_and_wait_for_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    path = CudaPath(torch.device("cpu"))
    there = path.to_device(torch.arange(4))
    assert streams.log == ["up: copy there, not waited for", "compute waits for up", "kept for compute"]
    streams.log.clear()
    arrival = path.back(lambda: [there + 1, there[:2].reshape(2, 1) + 10])
    assert streams.log == [
        "mark 0 on compute",
        "mark 1 on compute",
        "6 values pinned",
        "down waits for mark 1",
        "mark 2 on down",
        "down: copy back, not waited for",
        "down: copy back, not waited for",
        "mark 3 on down",
    ]
    streams.log.clear()
    assert [each.tolist() for each in arrival.wait()] == [[1, 2, 3, 4], [[10], [11]]]
    assert streams.log == ["host waits for mark 3"]
    assert (arrival.computing(), arrival.copying()) == (1.0, 1.0)
    assert path.back(list).wait() == []


@pytest.mark.gpu
def test_on_a_gpu_the_pipeline_gives_the_bytes_of_one_thing_after_the_other(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(24))
    resources = Resources(device="cuda", workers=1, batch_seconds=8.0, shard_bytes=400_000)
    piped = extract(corpus, config, tmp_path / "piped", resources=resources)
    assert piped.gpu_waits is not None
    plain = load_encoders(config, resources)
    for encoder in (plain.speech, plain.text):
        assert encoder is not None
        encoder.path = PlainPath(encoder.device)
    slow = extract(corpus, config, tmp_path / "plain", resources=resources, backend=Given(plain))
    files = [{path.name: path.read_bytes() for path in each.folder.glob("shards/*.h5")} for each in (piped, slow)]
    assert files[0] == files[1]


class Given:
    """A backend of this process with encoders that are loaded already."""

    def __init__(self, encoders: Any) -> None:
        self._encoders = encoders

    def run(self, work: Any, tasks: Any, *, tell: Callable[[object], None]) -> Any:
        return run_here(replace(work, encoders=self._encoders), tasks, Slot(number=0, device="cuda", threads=1), tell=tell)


@pytest.mark.gpu
def test_segment_means_on_a_gpu_are_those_of_the_cpu_and_the_same_twice() -> None:
    random = np.random.default_rng(0)
    states = torch.from_numpy(random.normal(size=(900, 12, 64)).astype(np.float32))
    starts = random.integers(0, 890, size=300)
    ranges = np.stack([starts, starts + random.integers(1, 10, size=300)], axis=1)
    once, twice = (segment_means(states.cuda(), ranges) for _ in range(2))
    assert torch.equal(once, twice)
    torch.testing.assert_close(once.cpu(), segment_means(states, ranges), rtol=0, atol=2e-6)
