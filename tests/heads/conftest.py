"""A planted feature cache in memory: what `mer.cache.open_cache` gives, without files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mer.tests.heads.touched_bytes import TouchedBytes, watched_kernels


@dataclass
class PlantedUnits:
    arrays: list[NDArray[Any]]
    viewed: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    prefetched: list[int] = field(default_factory=list)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(array) for array in self.arrays], dtype=np.int64)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)

    @property
    def layers(self) -> int:
        return int(self.arrays[0].shape[1])

    @property
    def dim(self) -> int:
        return int(self.arrays[0].shape[2])

    def views(self, rows: Sequence[int]) -> list[NDArray[Any]]:
        self.viewed.extend(rows)
        return [self.arrays[row] for row in rows]

    def release(self, rows: Sequence[int]) -> None:
        self.released.extend(rows)

    def prefetch(self, rows: Sequence[int]) -> None:
        self.prefetched.extend(rows)


@dataclass
class PlantedTable:
    ids: list[str]
    labels: list[str]
    speakers: list[str]
    sessions: list[str]
    styles: list[str]
    texts: list[str]
    dialogues: list[str] = field(default_factory=list)
    more: list[Mapping[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dialogues = self.dialogues or [""] * len(self.ids)
        self.more = self.more or [{}] * len(self.ids)


@dataclass
class PlantedCache:
    utterances: PlantedTable
    units: dict[str, list[NDArray[Any]]]
    spec: Mapping[str, Any] = field(default_factory=lambda: {"corpus": {"name": "planted"}})
    key: str = "0123456789abcdef"
    synthetic: bool = True
    failed: tuple[Any, ...] = ()
    opened: dict[str, PlantedUnits] = field(default_factory=dict)
    encoder_folders: dict[str, Path] = field(default_factory=dict)

    @property
    def granularities(self) -> tuple[str, ...]:
        return tuple(self.units)

    def layers(self, granularity: str) -> list[int]:
        return list(range(1, self.units[granularity][0].shape[1] + 1))

    def dim(self, granularity: str) -> int:
        return int(self.units[granularity][0].shape[2])

    def packed(self, granularity: str, indices: Sequence[int] | None = None) -> PlantedUnits:
        chosen = range(len(self.utterances.ids)) if indices is None else indices
        self.opened[granularity] = PlantedUnits([self.units[granularity][row] for row in chosen])
        return self.opened[granularity]


CacheMaker = Callable[..., PlantedCache]
LABELS = ("ang", "hap", "sad", "neu")


@pytest.fixture(scope="session")
def make_cache() -> CacheMaker:
    """Makes caches whose layer 2 (of 3) carries the class, at F and more weakly at T; the rest is noise."""

    def make(
        *,
        sessions: int = 3,
        each: int = 16,
        layers: int = 3,
        dim: int = 8,
        signal: float = 1.5,
        seed: int = 0,
    ) -> PlantedCache:
        random = np.random.default_rng(seed)
        count = sessions * each
        labels = [LABELS[row % 4] for row in range(count)]
        session = [str(1 + row // each) for row in range(count)]
        directions = random.standard_normal((4, dim))
        units: dict[str, list[NDArray[Any]]] = {}
        for granularity, strength, longest in (("F", signal, 9), ("S", signal / 2, 4), ("T", signal / 2, 6)):
            arrays = []
            for row in range(count):
                array = random.standard_normal((int(random.integers(1, longest)), layers, dim))
                array[:, layers // 2] += strength * directions[row % 4]
                stored = array.astype(np.float16)
                stored.flags.writeable = False
                arrays.append(stored)
            units[granularity] = arrays
        return PlantedCache(
            utterances=PlantedTable(
                ids=[f"utterance-{row:03d}" for row in range(count)],
                labels=labels,
                speakers=[session[row] + "FM"[row % 2] for row in range(count)],
                sessions=session,
                styles=["improvised" if row % 8 < 4 else "scripted" for row in range(count)],
                texts=[f"line {row % (2 * each)}" for row in range(count)],
            ),
            units=units,
        )

    return make


@pytest.fixture(scope="session")
def plant_numbers() -> CacheMaker:
    """Makes caches in which speech hides a number from 0 to 3, text another, and `rule` makes the class of both.

    Each number is two bits, a bit the sign along a direction of its own, in layer `layer` (from 1) of one speech
    granularity and of T; everything else is noise. All 16 pairs are equally frequent in every session.
    """

    def make(
        *,
        rule: Callable[[int, int], int],
        speech: str = "F",
        granularities: str = "FT",
        layer: int = 3,
        layers: int = 4,
        dim: int = 8,
        repeats: int = 8,
        strength: float = 6.0,
        seed: int = 0,
    ) -> PlantedCache:
        random = np.random.default_rng(seed)
        sessions = [session for session in "123" for _ in range(16 * repeats)]
        pairs = [pair for _ in "123" for pair in random.permutation(np.arange(16 * repeats) % 16).tolist()]
        units: dict[str, list[NDArray[Any]]] = {}
        for granularity in granularities:
            # Orthogonal to the constant vector too, which the layer norm after the layer average takes away.
            bases = np.column_stack([np.ones(dim), random.standard_normal((dim, 2))])
            directions, arrays = np.linalg.qr(bases)[0][:, 1:].T, []
            for pair in pairs:
                array = random.standard_normal((int(random.integers(1, 5)), layers, dim))
                number = pair % 4 if granularity == "T" else pair // 4
                if granularity in (speech, "T"):
                    array[:, layer - 1] += strength * (2 * np.array([number // 2, number % 2]) - 1) @ directions
                arrays.append(array.astype(np.float16))
                arrays[-1].flags.writeable = False
            units[granularity] = arrays
        count = len(pairs)
        return PlantedCache(
            utterances=PlantedTable(
                ids=[f"utterance-{row:03d}" for row in range(count)],
                labels=[LABELS[rule(pair // 4, pair % 4)] for pair in pairs],
                speakers=[sessions[row] + "FM"[row % 2] for row in range(count)],
                sessions=sessions,
                styles=["improvised"] * count,
                texts=[f"line {row}" for row in range(count)],
            ),
            units=units,
        )

    return make


@pytest.fixture
def touched() -> Iterator[TouchedBytes]:
    """Every kernel that a test starts reads and writes what it says that it does: the cost of a step is counted from that."""
    with watched_kernels() as watched:
        yield watched
    assert not watched.problems, "\n".join(watched.problems)
