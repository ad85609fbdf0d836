"""Which utterances make each step of an epoch, and how a step is cut into forward passes and dealt to processes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.protocol import numpy_generator


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

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the utterances, in an order that does not depend on the cut: pairs are drawn in it."""
        return tuple(sorted(self.placed))

    @property
    def placed(self) -> tuple[int, ...]:
        """Rows pass after pass: the place of an utterance in the step is its place here."""
        return tuple(row for rows in self.micro_batches for row in rows)

    def of(self, process: int) -> list[tuple[int, tuple[int, ...]]]:
        """Number in the step, and rows, of each forward pass of one process."""
        numbers = range(process, len(self.micro_batches), self.processes)
        return [(number, self.micro_batches[number]) for number in numbers]


def plan_epoch(
    lengths_seconds: Sequence[float],
    rows: Sequence[int],
    config: FinetuneConfig,
    seed: int,
    epoch: int,
    processes: int,
) -> list[StepPlan]:
    """Every row once, in steps of `config.batch` or a few less.

    A step is a uniform draw: the rows in an order that depends on the seed and the epoch alone, cut into the fewest steps,
    of sizes as equal as can be. Rows of a table that differ in auxiliary tasks, and runs on another number of devices,
    take the same steps.

    A step is cut, longest first, into the fewest passes within `batch_seconds` of padded audio whose number is a
    multiple of `processes`; among those cuts into the one whose largest pass is smallest. A pass holds one utterance at
    least, and goes beyond `batch_seconds` only where this leaves no other way. Auxiliary tasks pair over the whole step,
    so that the cut is a matter of memory.

    Args:
        lengths_seconds: of the row with the same number, after cutting at `max_seconds`.
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
    order = random.permutation(np.array(rows, dtype=np.int64)).tolist()
    count = -(-len(rows) // config.batch)
    bounds = [len(rows) * number // count for number in range(count + 1)]
    steps = [order[first:end] for first, end in itertools.pairwise(bounds)]
    smallest, least = min(len(step) for step in steps), 2 if "1" in config.aux else 1
    if smallest < max(least, processes):
        raise FinetuneError(
            f"a step of {smallest} utterances (batch {config.batch}, {len(rows)} to train on) over {processes} processes "
            f"with aux {config.aux}: each process needs at least 1, task 1 at least 2 in all; "
            "use a larger batch or fewer processes"
        )
    return [
        StepPlan(
            step=number,
            micro_batches=_cut(step, lengths_seconds, config.pass_seconds, processes),
            processes=processes,
        )
        for number, step in enumerate(steps)
    ]


def _cut(step: Sequence[int], lengths: Sequence[float], budget: float, processes: int) -> tuple[tuple[int, ...], ...]:
    """Rows of each pass, the costliest pass first: what is short of memory shows at once, and equal passes meet."""
    ordered = sorted(step, key=lambda row: (-lengths[row], row))
    bounds = _partition(np.array([lengths[row] for row in ordered], dtype=np.float64), budget, processes)
    parts = [tuple(ordered[first:end]) for first, end in bounds]
    return tuple(sorted(parts, key=lambda part: -len(part) * lengths[part[0]]))


def _partition(longest: Float64[np.ndarray, " rows"], budget: float, multiple: int) -> list[tuple[int, int]]:
    """Cut rows, longest first, into consecutive parts: first and end of each.

    With m parts the smallest cost of the first j rows is F(m, j) = min over i of max(F(m - 1, i), cost(i, j)), where
    cost(i, j) = (j - i) times the length of row i. The first m that is a multiple of `multiple` with F(m, rows) within the
    budget wins; when there is none, the m with the smallest F, the first of equals.
    """
    rows = len(longest)
    inside = np.arange(1, rows + 1) - np.arange(rows)[:, None]  # (first, last)
    cost = np.where(inside >= 1, inside * longest[:, None], np.inf)
    smallest, froms = cost[0], [np.zeros(rows, dtype=np.int64)]
    best: tuple[float, int] | None = None
    for parts in range(1, rows + 1):
        if parts > 1:
            before = np.concatenate([[np.inf], smallest[:-1]])
            through = np.maximum(before[:, None], cost)
            froms.append(through.argmin(0))
            smallest = through.min(0)
        if parts % multiple == 0 and np.isfinite(smallest[-1]) and (best is None or smallest[-1] < best[0]):
            best = float(smallest[-1]), parts
            if best[0] <= budget:
                break
    assert best is not None, "plan_epoch has checked that there is a row for every process"
    bounds, end = list[tuple[int, int]](), rows
    for parts in range(best[1], 0, -1):
        first = int(froms[parts - 1][end - 1])
        bounds.append((first, end))
        end = first
    return bounds[::-1]
