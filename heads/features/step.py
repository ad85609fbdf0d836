"""The utterances that several runs want at one step, and who shares what."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One batch of each of several runs."""

    rows: tuple[Int64[np.ndarray, " _"], ...]
    """Utterances of each run, in the order of the run."""
    entries: Int64[np.ndarray, " entries"]
    """The row of every utterance, once per group of runs that go through the corpus in one order."""
    ends: Int64[np.ndarray, " entries"]
    """Where in `uses` those of each entry end, and those of the next one begin."""
    uses: Int64[np.ndarray, "uses two"]
    """Run, and position in that run's rows, of all who want an entry."""

    @cached_property
    def order(self) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
        """Every entry: its row, and (run, position) of all who want it."""
        uses, ends = [(run, position) for run, position in self.uses.tolist()], self.ends.tolist()
        begins = [0, *ends[:-1]]
        return tuple((row, tuple(uses[begin:end])) for row, begin, end in zip(self.entries.tolist(), begins, ends, strict=True))

    @cached_property
    def distinct(self) -> list[int]:
        """Rows that somebody wants, each once."""
        found: list[int] = np.unique(self.entries).tolist()
        return found


def plan_step(
    rows: Sequence[Int64[np.ndarray, " _"]],
    groups: Sequence[int] | None = None,
    ranks: Sequence[Int64[np.ndarray, " corpus"]] | None = None,
) -> Step:
    """Find out who shares what.

    Args:
        rows: utterances of each run; no run has one twice.
        groups: runs with one number go through the corpus in one order; None puts all into one group.
        ranks: per group number, the place of every row in that order; None takes the row number.
    """
    groups = groups if groups is not None else [0] * len(rows)
    counts = [len(each) for each in rows]
    group, run = np.repeat(groups, counts), np.repeat(np.arange(len(rows)), counts)
    row = np.concatenate([np.empty(0, dtype=np.int64), *rows])
    position = np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(count) for count in counts)])
    # Entries in the order of their group, and within a group of their place in it; the uses of one in the order of the runs.
    place = row if ranks is None else np.concatenate([ranks[number][each] for number, each in zip(groups, rows, strict=True)])
    sort = np.lexsort((run, place, group))
    group, place, row = group[sort], place[sort], row[sort]
    last = np.ones(len(row), dtype=np.bool_)
    last[:-1] = (group[1:] != group[:-1]) | (place[1:] != place[:-1])
    ends = np.flatnonzero(last) + 1
    return Step(rows=tuple(rows), entries=row[last], ends=ends, uses=np.stack([run[sort], position[sort]], 1))
