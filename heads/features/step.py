"""The utterances that several runs want at one step, and who shares what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One batch of each of several runs."""

    rows: tuple[Int64[np.ndarray, " _"], ...]
    """Utterances of each run, in the order of the run."""
    order: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    """Every utterance once per group of runs: its row, and (run, position in that run's rows) of all who want it."""

    @property
    def distinct(self) -> list[int]:
        """Rows that somebody wants, each once."""
        return sorted({row for row, _ in self.order})


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
    wanted: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for run, (group, each) in enumerate(zip(groups, rows, strict=True)):
        places = each if ranks is None else ranks[group][each]
        for position, (row, place) in enumerate(zip(each.tolist(), places.tolist(), strict=True)):
            wanted.setdefault((group, place, row), []).append((run, position))
    order = tuple((key[2], tuple(wanted[key])) for key in sorted(wanted))
    return Step(rows=tuple(rows), order=order)
