"""How long each stage of an extraction works, and for which share of the time a GPU waits for the others."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

STAGES = ("decode", "launch", "encode", "copy", "check", "write")
"""In the order of the data: recordings are read and prepared (all threads together), gathered and given to a GPU, encoded and
averaged, copied back, looked through for what does not fit the stored type, hashed and written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTimes:
    """Seconds that one shard took."""

    stages: Mapping[str, float]
    """By `STAGES`; stages that overlap are counted each."""
    device_seconds: float | None
    """Since the worker's last shard was on disk, where its device computes by itself; None where a CPU does everything."""


class StageTimes:
    """Adds up what the stages of one shard take; any thread may add."""

    def __init__(self) -> None:
        """Nothing has been done yet."""
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        """A stage has worked for so long."""
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """A stage works inside."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - begun)

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, in the order of `STAGES`."""
        with self._lock:
            return {stage: self._seconds[stage] for stage in STAGES if stage in self._seconds}


class TimesOfAll:
    """What the stages of all shards of a command took, over all workers."""

    def __init__(self) -> None:
        """Nothing has been told yet."""
        self._seconds: dict[str, float] = {}
        self._device_seconds = self._encoding = 0.0

    def add(self, times: ShardTimes | None) -> None:
        """Count a shard's; None was not measured."""
        if times is None:
            return
        for stage, seconds in times.stages.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
        if times.device_seconds is not None:
            self._device_seconds += times.device_seconds
            self._encoding += times.stages.get("encode", 0.0)

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, in the order of `STAGES`."""
        return {stage: self._seconds[stage] for stage in STAGES if stage in self._seconds}

    @property
    def waited(self) -> float | None:
        """Share of the time, over all devices, in which they encoded nothing; None without a device that computes by itself."""
        return max(0.0, 1.0 - self._encoding / self._device_seconds) if self._device_seconds else None
