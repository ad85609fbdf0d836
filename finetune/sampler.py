"""Which utterances make each step of an epoch, and how a step is cut into forward passes and dealt to processes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.protocol import numpy_generator

WINDOW = 16
"""Utterances of a class, drawn at random, among which those of about equal length are coupled. Even."""

Unit = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Utterances of one optimiser step, and the forward passes that they are cut into."""

    step: int
    """From 0 in the epoch."""
    micro_batches: tuple[tuple[int, ...], ...]
    """Rows of each forward pass; pass n belongs to process n % processes."""
    processes: int
    """Every process has the same number of passes."""

    @property
    def utterances(self) -> int:
        """Over all processes."""
        return sum(len(rows) for rows in self.micro_batches)

    def of(self, process: int) -> list[tuple[int, tuple[int, ...]]]:
        """Number in the step, and rows, of each forward pass of one process."""
        numbers = range(process, len(self.micro_batches), self.processes)
        return [(number, self.micro_batches[number]) for number in numbers]


def plan_epoch(
    lengths_seconds: Sequence[float],
    labels: Sequence[int],
    rows: Sequence[int],
    config: FinetuneConfig,
    seed: int,
    epoch: int,
    processes: int,
) -> list[StepPlan]:
    """Every row once, in steps of `config.batch` or a few less.

    Auxiliary task 2 needs another utterance of the same class in the same forward pass (Sun 2023, section 2.4), so that
    utterances travel in couples: those of a class are shuffled, and among every 16 in a row neighbours in length are
    coupled. Couples, and the one that an odd class leaves over, are shuffled and fill the steps. Which rows make a step
    depends on the seed, the epoch and `batch` alone: rows of a table that differ in auxiliary tasks, and runs on another
    number of devices, take the same steps.

    A step is cut, longest first, into the fewest passes within `batch_seconds` of padded audio whose number is a
    multiple of `processes`; among those cuts into the one whose largest pass is smallest. A pass holds one utterance at
    least, two with task 1, and goes beyond `batch_seconds` only where this leaves no other way. With task 2 the cut
    leaves couples together, too, unless they do not fit.

    Args:
        lengths_seconds: of the row with the same number, after cutting at `max_seconds`.
        labels: class number of the row with the same number.
        rows: to be planned, each once.
        config: batch sizes and auxiliary tasks.
        seed: of the run.
        epoch: from 1.
        processes: to deal the passes to.

    Raises:
        FinetuneError: there are no rows, or a step has too few utterances for that many processes.
    """
    if not rows:
        raise FinetuneError("there is no utterance to train on")
    random = numpy_generator(seed, "order", epoch)
    units = _couples(lengths_seconds, labels, rows, random)
    order = random.permutation(len(units))
    steps = _fill([units[number] for number in order], _sizes(len(rows), config.batch))
    least = 2 if "1" in config.aux else 1
    smallest = min(sum(len(unit) for unit in step) for step in steps)
    if smallest < least * processes:
        raise FinetuneError(
            f"a step of {smallest} utterances (batch {config.batch}, {len(rows)} to train on) over {processes} processes "
            f"with aux {config.aux}: each process needs at least {least}; use a larger batch or fewer processes"
        )
    together = "2" in config.aux
    return [
        StepPlan(
            step=number,
            micro_batches=_cut(step, lengths_seconds, config.batch_seconds, least, processes, together),
            processes=processes,
        )
        for number, step in enumerate(steps)
    ]


def _couples(lengths: Sequence[float], labels: Sequence[int], rows: Sequence[int], random: np.random.Generator) -> list[Unit]:
    units: list[Unit] = []
    for label in sorted({labels[row] for row in rows}):
        members = random.permutation(np.array([row for row in rows if labels[row] == label], dtype=np.int64)).tolist()
        for start in range(0, len(members), WINDOW):
            window = sorted(members[start : start + WINDOW], key=lambda row: (lengths[row], row))
            units += [tuple(window[first : first + 2]) for first in range(0, len(window), 2)]
    return units


def _sizes(utterances: int, batch: int) -> list[int]:
    """Utterances of each step: the fewest steps, of sizes as equal as can be, even ones where `batch` is even."""
    steps = -(-utterances // batch)
    grain = 2 if batch % 2 == 0 else 1
    grains, left = divmod(utterances, grain)
    sizes = [grain * (grains // steps + (number < grains % steps)) for number in range(steps)]
    sizes[-1] += left
    return sizes


def _fill(units: Sequence[Unit], sizes: Sequence[int]) -> list[list[Unit]]:
    """Units in their order, unless a single one would leave a place that no other single one is there to take."""
    waiting = list(reversed(units))
    singles = sum(len(unit) == 1 for unit in units)
    steps: list[list[Unit]] = []
    for size in sizes:
        step, room = list[Unit](), size
        while room:
            unit = waiting.pop(_next(waiting, room, singles))
            singles -= len(unit) == 1
            if len(unit) > room:
                waiting.append(unit[room:])
                unit = unit[:room]
                singles += 1
            step.append(unit)
            room -= len(unit)
        steps.append(step)
    return steps


def _next(waiting: Sequence[Unit], room: int, singles: int) -> int:
    """Place of the unit that comes next; the last one is the first in order."""
    last = len(waiting) - 1
    if room == 1 and singles:
        wanted = 1
    elif room % 2 == 0 and singles == 1:
        wanted = 2
    else:
        return last
    return next((place for place in range(last, -1, -1) if len(waiting[place]) == wanted), last)


def _cut(
    step: Sequence[Unit], lengths: Sequence[float], budget: float, least: int, processes: int, together: bool
) -> tuple[tuple[int, ...], ...]:
    """Rows of each pass, the costliest pass first: what is short of memory shows at once, and equal passes meet."""
    singles: list[Unit] = [(row,) for unit in step for row in unit]
    tries = [singles]
    if together:
        coupled = [unit for unit in step if len(unit) * max(lengths[row] for row in unit) <= budget]
        apart: list[Unit] = [(row,) for unit in step if unit not in coupled for row in unit]
        tries = [coupled + apart, singles]
    best: tuple[float, list[tuple[int, ...]]] | None = None
    for units in tries:
        ordered = sorted(units, key=lambda unit: (-max(lengths[row] for row in unit), unit))
        longest = np.array([max(lengths[row] for row in unit) for unit in ordered], dtype=np.float64)
        counts = np.array([len(unit) for unit in ordered], dtype=np.int64)
        found = _partition(longest, counts, budget, least, processes)
        if found is None or (best is not None and found[0] >= best[0]):
            continue
        cost, bounds = found
        best = cost, [tuple(row for unit in ordered[first:end] for row in unit) for first, end in bounds]
        if cost <= budget:
            break
    assert best is not None, "plan_epoch has checked that single utterances can be dealt"
    return tuple(sorted(best[1], key=lambda part: -len(part) * max(lengths[row] for row in part)))


def _partition(
    longest: Float64[np.ndarray, " units"], counts: Int64[np.ndarray, " units"], budget: float, least: int, multiple: int
) -> tuple[float, list[tuple[int, int]]] | None:
    """Cut units, longest first, into consecutive parts: cost of the costliest part, and first and end of each.

    With m parts the smallest cost of the first j units is F(m, j) = min over i of max(F(m - 1, i), cost(i, j)), where
    cost(i, j) = utterances of units i..j-1 times the longest of them. The first m that is a multiple of `multiple` with
    F(m, units) within the budget wins; when there is none, the m with the smallest F, the first of equals.
    """
    units = len(longest)
    total = np.concatenate([[0], np.cumsum(counts)])
    inside = total[None, 1:] - total[:-1, None]  # (first, last)
    cost = np.where(inside >= least, inside * longest[:, None], np.inf)
    smallest, froms = cost[0], [np.zeros(units, dtype=np.int64)]
    best: tuple[float, int] | None = None
    for parts in range(1, units + 1):
        if parts > 1:
            before = np.concatenate([[np.inf], smallest[:-1]])
            through = np.maximum(before[:, None], cost)
            froms.append(through.argmin(0))
            smallest = through.min(0)
        if parts % multiple == 0 and np.isfinite(smallest[-1]) and (best is None or smallest[-1] < best[0]):
            best = float(smallest[-1]), parts
            if best[0] <= budget:
                break
    if best is None:
        return None
    bounds, end = list[tuple[int, int]](), units
    for parts in range(best[1], 0, -1):
        first = int(froms[parts - 1][end - 1])
        bounds.append((first, end))
        end = first
    return best[0], bounds[::-1]
