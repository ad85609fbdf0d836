import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.finetune.auxiliary import draw_step_pairing, pair_counts
from mer.finetune.batch import Pairing
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.losses import Sums
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
    lengths, _, rows = corpus
    return plan_epoch(lengths, rows, FinetuneConfig(**values), seed, epoch, processes)  # type: ignore[arg-type]


def rows_of(steps: list[StepPlan]) -> list[list[int]]:
    return [sorted(row for rows in step.micro_batches for row in rows) for step in steps]


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
        assert min(len(rows) for rows in step.micro_batches) >= 1
        assert step.rows == tuple(sorted(step.placed))


@settings(deadline=None)
@given(corpora(), st.integers(1, 40))
def test_steps_are_as_few_and_as_equal_as_can_be(corpus: tuple[list[float], list[int], list[int]], batch: int) -> None:
    steps = plan(corpus, batch=batch)
    sizes = [step.utterances for step in steps]
    assert len(sizes) == -(-len(corpus[2]) // batch)
    assert [step.step for step in steps] == list(range(len(steps)))
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1


def consecutive_cuts(count: int) -> list[list[int]]:
    """All ways to write `count` as a sum of parts of 1 or more."""
    if count == 0:
        return [[]]
    return [[first, *rest] for first in range(1, count + 1) for rest in consecutive_cuts(count - first)]


@settings(deadline=None)
@given(corpora(6), st.sampled_from(["none", "1"]), st.floats(1.0, 60.0), st.integers(1, 3), st.integers(4, 9))
def test_a_step_is_cut_as_well_as_trying_all_cuts_does(
    corpus: tuple[list[float], list[int], list[int]], aux: str, budget: float, processes: int, batch: int
) -> None:
    lengths, labels, rows = corpus
    rows = rows[: max(batch, processes)]
    for step in plan((lengths, labels, rows), processes, aux=aux, batch=len(rows), batch_seconds=budget):
        longest = sorted((lengths[row] for rows in step.micro_batches for row in rows), reverse=True)
        costs: dict[int, float] = {}
        for parts in consecutive_cuts(len(longest)):
            starts = np.cumsum([0, *parts[:-1]])
            cost = max(size * longest[start] for size, start in zip(parts, starts, strict=True))
            if len(parts) % processes == 0:
                costs[len(parts)] = min(cost, costs.get(len(parts), np.inf))
        fitting = [parts for parts, cost in costs.items() if cost <= budget]
        found = max(len(rows) * max(lengths[row] for row in rows) for rows in step.micro_batches)
        assert found == pytest.approx(costs[min(fitting)] if fitting else min(costs.values()), rel=1e-12)
        assert not fitting or len(step.micro_batches) == min(fitting)


def corpus_like_iemocap(count: int = 1_000) -> tuple[list[float], list[int], list[int]]:
    random = np.random.default_rng(5)
    lengths = np.clip(random.lognormal(1.3, 0.6, count), 0.6, 20).tolist()
    return lengths, random.choice(4, count, p=[0.2, 0.3, 0.2, 0.3]).tolist(), list(range(count))


def test_a_step_is_a_uniform_draw() -> None:
    """Over many epochs two utterances share a step as often as chance has it, whatever their class and length."""
    lengths = [0.5, 0.6, 0.7, 19.0, 19.5, 20.0, 5.0, 6.0, 7.0]
    together = np.zeros((9, 9))
    epochs = 1_000
    for epoch in range(epochs):
        for step in plan((lengths, [], list(range(9))), epoch=epoch, batch=3, aux="1+2"):
            held = np.array(step.rows)
            together[held[:, None], held] += 1
    apart = together[~np.eye(9, dtype=bool)]
    # two of the eight others; five standard deviations of a binomial count
    assert np.abs(apart - epochs / 4).max() < 5 * np.sqrt(epochs * 3 / 16)


@pytest.mark.parametrize(("budget", "processes"), [(60.0, 1), (60.0, 4), (120.0, 1), (400.0, 1)])
def test_pairs_are_those_of_a_uniform_shuffle_of_the_batch(budget: float, processes: int) -> None:
    """200 steps of 32 with IEMOCAP's class counts and lengths: 28 % of one class, 3 % unchanged, hardly any without partner."""
    random = np.random.default_rng(1)
    counts = {"ang": 1103, "hap": 1636, "neu": 1708, "sad": 1084}
    labels = np.repeat(np.arange(4), list(counts.values()))
    lengths = np.clip(random.lognormal(1.27, 0.69, len(labels)), 0.6, 20.0) + np.array([0.0, 0.5, -0.2, 1.0])[labels]
    corpus = lengths.tolist(), labels.tolist(), list(range(len(labels)))
    epochs = (plan(corpus, processes, epoch=epoch, batch=32, batch_seconds=budget, aux="1+2") for epoch in (1, 2))
    steps = list(itertools.islice(itertools.chain.from_iterable(epochs), 200))
    sums_of: list[Sums] = []
    for step in steps:
        pairing, counted = step_pairs(step, corpus[1], seed=len(sums_of))
        held = labels[np.array(step.placed)]
        assert counted.same_class == (held[pairing.permutation] == held).sum()
        assert counted.unchanged == (pairing.permutation.numpy() == np.arange(step.utterances)).sum()
        assert counted.utterances - counted.pairs == pairing.lonely
        sums_of.append(counted)
    losses = sum(sums_of, Sums()).means(FinetuneConfig(aux="1+2"))
    shuffled = [random.permutation(labels)[:32] for _ in range(4_000)]
    expected_same = np.mean([np.mean(each == random.permutation(each)) for each in shuffled])
    assert losses.same_class_share == pytest.approx(expected_same, abs=0.02)
    assert losses.unchanged_share == pytest.approx(1 / 32, abs=0.02)
    assert losses.lonely_share == pytest.approx(0, abs=0.005)


def step_pairs(step: StepPlan, labels: list[int], seed: int) -> tuple[Pairing, Sums]:
    """The pairing of a step as training draws it, and what it counts."""
    pairing = draw_step_pairing(step, labels, np.random.default_rng(seed))
    return pairing, pair_counts(pairing, torch.tensor([labels[row] for row in step.placed]), FinetuneConfig(aux="1+2"))


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
    ("aux", "batch", "count", "processes"),
    [("none", 3, 9, 4), ("1", 2, 8, 3), ("1", 32, 1, 1), ("1+2", 32, 5, 6)],
)
def test_a_step_that_is_too_small_for_the_processes_is_refused(aux: str, batch: int, count: int, processes: int) -> None:
    with pytest.raises(
        FinetuneError,
        match=rf"batch {batch}, {count} to train on\) over {processes} .* at least 1, task 1 at least 2 in all; use",
    ):
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
