import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.sampler import StepPlan, plan_epoch
from mer.finetune.schedule import rate_factor

AUX = st.sampled_from(["none", "1", "2", "1+2"])


@st.composite
def corpora(draw: st.DrawFn, smallest: int = 4) -> tuple[list[float], list[int], list[int]]:
    """Lengths and labels of a corpus, and the rows of it that are trained on."""
    count = draw(st.integers(smallest, 60))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    lengths = np.round(random.uniform(0.2, 20.0, 2 * count), 2).tolist()
    labels = random.integers(0, draw(st.integers(1, 5)), 2 * count).tolist()
    return lengths, labels, np.sort(random.choice(2 * count, count, replace=False)).tolist()


def plan(
    corpus: tuple[list[float], list[int], list[int]], processes: int = 1, seed: int = 0, epoch: int = 1, **values: object
) -> list[StepPlan]:
    lengths, labels, rows = corpus
    return plan_epoch(lengths, labels, rows, FinetuneConfig(**values), seed, epoch, processes)  # type: ignore[arg-type]


def rows_of(steps: list[StepPlan]) -> list[list[int]]:
    return [sorted(row for rows in step.micro_batches for row in rows) for step in steps]


def lonely(steps: list[StepPlan], labels: list[int]) -> int:
    found = 0
    for step in steps:
        for rows in step.micro_batches:
            held = [labels[row] for row in rows]
            found += sum(held.count(label) == 1 for label in held)
    return found


@settings(deadline=None)
@given(corpora(8), AUX, st.integers(8, 32), st.floats(2.0, 80.0), st.integers(1, 2), st.integers(0, 9))
def test_every_utterance_is_taken_once_and_every_process_has_the_same_number_of_passes(
    corpus: tuple[list[float], list[int], list[int]], aux: str, batch: int, budget: float, processes: int, seed: int
) -> None:
    steps = plan(corpus, processes, seed, aux=aux, batch=batch, batch_seconds=budget)
    assert sorted(itertools.chain(*rows_of(steps))) == corpus[2]
    for step in steps:
        dealt = [step.of(process) for process in range(processes)]
        assert len({len(passes) for passes in dealt}) == 1
        assert {number: rows for passes in dealt for number, rows in passes} == dict(enumerate(step.micro_batches))
        assert min(len(rows) for rows in step.micro_batches) >= (2 if "1" in aux else 1)


@settings(deadline=None)
@given(corpora(), st.integers(1, 40))
def test_steps_are_as_few_and_as_equal_as_can_be(corpus: tuple[list[float], list[int], list[int]], batch: int) -> None:
    steps = plan(corpus, batch=batch)
    sizes = [step.utterances for step in steps]
    assert len(sizes) == -(-len(corpus[2]) // batch)
    assert [step.step for step in steps] == list(range(len(steps)))
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= (1 if batch % 2 else 2)


def consecutive_cuts(count: int, least: int) -> list[list[int]]:
    """All ways to write `count` as a sum of parts of at least `least`."""
    if count == 0:
        return [[]]
    return [[first, *rest] for first in range(least, count + 1) for rest in consecutive_cuts(count - first, least)]


@settings(deadline=None)
@given(corpora(6), st.sampled_from(["none", "1"]), st.floats(1.0, 60.0), st.integers(1, 3), st.integers(4, 9))
def test_a_step_is_cut_as_well_as_trying_all_cuts_does(
    corpus: tuple[list[float], list[int], list[int]], aux: str, budget: float, processes: int, batch: int
) -> None:
    lengths, labels, rows = corpus
    least = 2 if aux == "1" else 1
    rows = rows[: max(batch, least * processes)]
    for step in plan((lengths, labels, rows), processes, aux=aux, batch=len(rows), batch_seconds=budget):
        longest = sorted((lengths[row] for rows in step.micro_batches for row in rows), reverse=True)
        costs: dict[int, float] = {}
        for parts in consecutive_cuts(len(longest), least):
            starts = np.cumsum([0, *parts[:-1]])
            cost = max(size * longest[start] for size, start in zip(parts, starts, strict=True))
            if len(parts) % processes == 0:
                costs[len(parts)] = min(cost, costs.get(len(parts), np.inf))
        fitting = [parts for parts, cost in costs.items() if cost <= budget]
        found = max(len(rows) * max(lengths[row] for row in rows) for rows in step.micro_batches)
        assert found == pytest.approx(costs[min(fitting)] if fitting else min(costs.values()), rel=1e-12)
        assert not fitting or len(step.micro_batches) == min(fitting)


@settings(deadline=None)
@given(corpora(), st.sampled_from([4, 8, 16]), st.floats(80.0, 99.0), st.sampled_from(["2", "1+2"]), st.integers(0, 99))
def test_only_what_an_odd_class_leaves_over_is_without_a_partner(
    corpus: tuple[list[float], list[int], list[int]], batch: int, budget: float, aux: str, seed: int
) -> None:
    labels = [corpus[1][row] for row in corpus[2]]
    odd = sum(labels.count(label) % 2 for label in set(labels))
    assert lonely(plan(corpus, seed=seed, aux=aux, batch=batch, batch_seconds=budget), corpus[1]) <= odd


def corpus_like_iemocap(count: int = 1_000) -> tuple[list[float], list[int], list[int]]:
    random = np.random.default_rng(5)
    lengths = np.clip(random.lognormal(1.3, 0.6, count), 0.6, 20).tolist()
    return lengths, random.choice(4, count, p=[0.2, 0.3, 0.2, 0.3]).tolist(), list(range(count))


@pytest.mark.parametrize(("batch", "budget", "processes"), [(32, 60.0, 1), (32, 40.0, 2), (8, 40.0, 1)])
def test_lonely_utterances_are_far_fewer_than_after_a_plain_shuffle(batch: int, budget: float, processes: int) -> None:
    corpus = corpus_like_iemocap()
    steps = plan(corpus, processes, aux="2", batch=batch, batch_seconds=budget)
    random = np.random.default_rng(0)
    shuffled = iter(random.permutation(len(corpus[2])).tolist())
    plain = [
        StepPlan(
            step=step.step,
            micro_batches=tuple(tuple(itertools.islice(shuffled, len(rows))) for rows in step.micro_batches),
            processes=processes,
        )
        for step in steps
    ]
    assert lonely(plain, corpus[1]) > 40
    assert lonely(steps, corpus[1]) <= 4


def test_little_of_a_pass_is_padding() -> None:
    corpus = corpus_like_iemocap()
    lengths = np.array(corpus[0])
    passes = [rows for step in plan(corpus, aux="1+2") for rows in step.micro_batches]
    padded = sum(len(rows) * lengths[list(rows)].max() for rows in passes)
    assert lengths.sum() / padded > 0.75
    assert max(len(rows) * lengths[list(rows)].max() for rows in passes) <= 60


@settings(deadline=None)
@given(corpora(12), st.integers(0, 9), st.integers(1, 9))
def test_steps_depend_on_seed_and_epoch_and_not_on_tasks_and_processes(
    corpus: tuple[list[float], list[int], list[int]], seed: int, epoch: int
) -> None:
    first = plan(corpus, 1, seed, epoch, batch=12, aux="1+2")
    assert first == plan(corpus, 1, seed, epoch, batch=12, aux="1+2")
    for processes, aux in ((1, "none"), (2, "1+2"), (2, "2")):
        other = plan(corpus, processes, seed, epoch, batch=12, aux=aux, batch_seconds=7.0)
        assert rows_of(other) == rows_of(first)


def test_every_epoch_and_seed_has_its_own_order() -> None:
    corpus = corpus_like_iemocap(200)
    orders = [rows_of(plan(corpus, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (1, 2)]
    assert all(one != two for one, two in itertools.combinations(orders, 2))


@pytest.mark.parametrize(
    ("aux", "batch", "count", "processes", "needs"),
    [("none", 3, 9, 4, 1), ("1", 2, 8, 2, 2), ("1", 32, 1, 1, 2), ("1+2", 32, 5, 3, 2)],
)
def test_a_step_that_is_too_small_for_the_processes_is_refused(
    aux: str, batch: int, count: int, processes: int, needs: int
) -> None:
    with pytest.raises(FinetuneError, match=rf"batch {batch}, {count} to train on\) over {processes} .* at least {needs}; use"):
        plan(([1.0] * count, [0] * count, list(range(count))), processes, aux=aux, batch=batch)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(FinetuneError, match="no utterance to train on"):
        plan(([1.0], [0], []))


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 0.9), (10, 0.0), (10, 0.3), (97, 0.1), (4, 0.99)])
def test_the_rate_rises_and_falls_linearly_and_is_never_zero(steps: int, warmup: float) -> None:
    factors = np.array([rate_factor(step, steps, warmup) for step in range(steps)])
    peak = int(factors.argmax())
    assert peak == min(round(warmup * steps), steps - 1)
    np.testing.assert_allclose(factors[: peak + 1], np.arange(1, peak + 2) / (peak + 1))
    np.testing.assert_allclose(factors[peak:], np.linspace(1, 0, steps - peak + 1)[:-1])
