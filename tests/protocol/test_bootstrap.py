import csv
import io
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import mer.protocol.bootstrap as module
from mer.protocol import (
    ProtocolError,
    RunAnswers,
    answers_from_table,
    bootstrap_difference,
    bootstrap_ua,
    numpy_generator,
    summarise,
)


def run(fold: str, seed: int, truth: str, prediction: str, ids: Sequence[str] | None = None) -> RunAnswers:
    return RunAnswers(
        fold=fold,
        seed=seed,
        ids=tuple(ids or [f"{fold}-{number:03}" for number in range(len(truth))]),
        truth=np.array(list(truth), dtype=np.int64),
        prediction=np.array(list(prediction), dtype=np.int64),
        styles=("",) * len(truth),
    )


def random_row(seed: int, sizes: Sequence[int], seeds: int = 2, skill: float = 0.5) -> list[RunAnswers]:
    """Runs of three classes; the truth depends on the fold alone."""
    generator = np.random.default_rng(seed)
    runs = []
    for fold, size in enumerate(sizes):
        truth = np.random.default_rng(fold).integers(0, 3, size)
        for each in range(seeds):
            guess = np.where(generator.random(size) < skill, truth, generator.integers(0, 3, size))
            runs.append(run(str(fold), each, "".join(map(str, truth)), "".join(map(str, guess))))
    return runs


def ua_reference(truth: Sequence[int], prediction: Sequence[int]) -> float:
    """Mean of the recalls of the classes that are there."""
    shares = []
    for each in set(truth):
        of_class = [guess == each for label, guess in zip(truth, prediction, strict=True) if label == each]
        shares.append(sum(of_class) / len(of_class))
    return sum(shares) / len(shares)


@pytest.mark.parametrize(("size", "skill"), [(60, 0.6), (200, 0.3)])
def test_the_interval_is_that_of_scipys_bootstrap(size: int, skill: float) -> None:
    (row,) = random_row(size, [size], seeds=1, skill=skill)
    found = bootstrap_ua([row], 3, draws=20_000)

    def ua(places: NDArray[np.int64]) -> float:
        return ua_reference(row.truth[places].tolist(), row.prediction[places].tolist())

    theirs = stats.bootstrap(
        (np.arange(size),), ua, n_resamples=4_000, vectorized=False, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    # Other draws: percentiles of 4,000 of them scatter by some 3 % of the interval's width.
    width = theirs.high - theirs.low
    np.testing.assert_allclose([found.low, found.high], [theirs.low, theirs.high], atol=0.1 * width)
    assert found.high - found.low == pytest.approx(width, rel=0.1)


def drawn_reference(runs: Sequence[RunAnswers], picks: Mapping[str, Sequence[int]]) -> float:
    """Mean UA over (fold, seed) when the utterances of each fold are those picked, in order of their ids."""
    scores = [
        ua_reference(each.truth[list(picks[each.fold])].tolist(), each.prediction[list(picks[each.fold])].tolist())
        for each in runs
    ]
    return sum(scores) / len(scores)


def all_draws_reference(rows: Sequence[Sequence[RunAnswers]], draws: int, seed: int) -> list[list[float]]:
    """The same random numbers, then plain loops."""
    sizes = {each.fold: len(each.truth) for each in rows[0]}
    picks = {fold: numpy_generator(seed, "bootstrap", fold).integers(0, size, (draws, size)) for fold, size in sizes.items()}
    return [
        [drawn_reference(row, {fold: table[draw].tolist() for fold, table in picks.items()}) for draw in range(draws)]
        for row in rows
    ]


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seeds=st.integers(1, 3),
    data=st.integers(0, 1000),
    seed=st.integers(0, 5),
)
def test_estimate_interval_and_p_are_those_of_plain_loops(sizes: list[int], seeds: int, data: int, seed: int) -> None:
    a, b = random_row(data, sizes, seeds, 0.7), random_row(data + 1, sizes, seeds, 0.4)
    draws = 60
    ours, theirs = (np.array(values) for values in all_draws_reference([a, b], draws, seed))
    alone = bootstrap_ua(a, 3, draws=draws, seed=seed)
    np.testing.assert_allclose([alone.low, alone.high], np.percentile(ours, [2.5, 97.5]), atol=1e-12)
    every = {each.fold: range(len(each.truth)) for each in a}
    np.testing.assert_allclose(alone.estimate, drawn_reference(a, every), atol=1e-12)
    found = bootstrap_difference(a, b, 3, draws=draws, seed=seed)
    differences = (ours - theirs).round(12)
    np.testing.assert_allclose([found.low, found.high], np.percentile(differences, [2.5, 97.5]), atol=1e-12)
    np.testing.assert_allclose(found.estimate, drawn_reference(a, every) - drawn_reference(b, every), atol=1e-12)
    tails = [(1 + sum(differences <= 0)) / (draws + 1), (1 + sum(differences >= 0)) / (draws + 1)]
    np.testing.assert_allclose(found.p, min(1.0, 2 * min(tails)), rtol=1e-12)
    assert (found.draws, found.utterances) == (draws, sum(sizes))


def test_draws_follow_the_distribution_of_all_resamples_there_are() -> None:
    a = [run("1", 0, "011", "010"), run("1", 1, "011", "111"), run("2", 0, "0122", "0112"), run("2", 1, "0122", "0022")]
    b = [run("1", 0, "011", "001"), run("1", 1, "011", "000"), run("2", 0, "0122", "1122"), run("2", 1, "0122", "0110")]
    exact = []
    for first, second in itertools.product(itertools.product(range(3), repeat=3), itertools.product(range(4), repeat=4)):
        picks = {"1": first, "2": second}
        exact.append(drawn_reference(a, picks) - drawn_reference(b, picks))
    assert len(exact) == 27 * 256
    draws = 20_000
    drawn = module._draw([module._hits_of_folds(row, 3) for row in (a, b)], 3, draws, 0)
    found = drawn[0] - drawn[1]
    np.testing.assert_allclose(found.mean(), np.mean(exact), atol=5 * np.std(exact) / np.sqrt(draws))
    for cut in np.linspace(min(exact), max(exact), 12) + 1e-9:
        np.testing.assert_allclose(np.mean(found < cut), np.mean(np.array(exact) < cut), atol=5 * 0.5 / np.sqrt(draws))
    # With so many draws both ends of the interval are atoms of the exact distribution.
    interval = bootstrap_difference(a, b, 3, draws=draws)
    np.testing.assert_allclose([interval.low, interval.high], np.quantile(exact, [0.025, 0.975]), atol=0.02)


def test_the_estimate_is_the_mean_of_folds_of_the_summary() -> None:
    runs = random_row(3, [20, 30, 7], seeds=3)
    found = summarise(runs, ("a", "b", "c")).all
    interval = bootstrap_ua(runs, 3, draws=10)
    np.testing.assert_allclose(interval.estimate, found.measures["ua"].mean_of_folds, rtol=1e-12)
    assert interval.utterances == found.utterances
    incomplete = runs[:-2]  # a fold with one seed counts once, one with three counts three times
    expected = summarise(incomplete, ("a", "b", "c")).all.measures["ua"].mean_of_folds
    np.testing.assert_allclose(bootstrap_ua(incomplete, 3, draws=10).estimate, expected, rtol=1e-12)


def test_the_memory_limit_changes_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = random_row(0, [11, 24]), random_row(1, [11, 24])
    whole = bootstrap_difference(a, b, 3, draws=101)
    for chunk in (1, 33, 100):
        monkeypatch.setattr(module, "CHUNK", chunk)
        assert bootstrap_difference(a, b, 3, draws=101) == whole


def test_neither_the_order_of_utterances_nor_that_of_runs_changes_a_number() -> None:
    a, b = random_row(0, [11, 24, 7, 13, 5]), random_row(1, [11, 24, 7, 13, 5])
    order = np.random.default_rng(0).permutation(11)
    first = a[0]
    moved = RunAnswers(
        fold=first.fold,
        seed=first.seed,
        ids=tuple(first.ids[row] for row in order),
        truth=first.truth[order],
        prediction=first.prediction[order],
        styles=first.styles,
    )
    assert bootstrap_difference([*a[:0:-1], moved], b[::-1], 3, draws=50) == bootstrap_difference(a, b, 3, draws=50)


def test_the_seed_decides_the_draws() -> None:
    row = random_row(0, [40])
    assert bootstrap_ua(row, 3, draws=50, seed=1) == bootstrap_ua(row, 3, draws=50, seed=1)
    assert bootstrap_ua(row, 3, draws=50, seed=1) != bootstrap_ua(row, 3, draws=50, seed=2)


def test_a_row_does_not_differ_from_itself() -> None:
    row = random_row(0, [15, 20], seeds=3)
    found = bootstrap_difference(row, row, 3, draws=100)
    assert (found.estimate, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_rounding_is_no_difference() -> None:
    # One utterance a fold and 47 seeds: 1 + 1 + 1 right against 3 + 0 + 0, which differ in the last bit once averaged.
    a = [run(fold, seed, "0", "0" if seed == 0 else "1") for fold in "123" for seed in range(47)]
    b = [run(fold, seed, "0", "0" if fold == "1" and seed < 3 else "1") for fold in "123" for seed in range(47)]
    found = bootstrap_difference(a, b, 2, draws=50)
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)


def test_swapping_the_rows_turns_the_interval_around() -> None:
    a, b = random_row(0, [15, 20]), random_row(1, [15, 20])
    there, back = bootstrap_difference(a, b, 3, draws=100), bootstrap_difference(b, a, 3, draws=100)
    np.testing.assert_allclose([back.estimate, back.low, back.high], [-there.estimate, -there.high, -there.low], atol=1e-12)
    assert there.p == back.p


def test_a_row_that_is_always_better_has_the_smallest_p() -> None:
    truth = "0011" * 10
    better, worse = [run("1", 0, truth, truth)], [run("1", 0, truth, "1100" * 10)]
    found = bootstrap_difference(better, worse, 2, draws=99)
    assert (found.low, found.high, found.p) == (1.0, 1.0, 2 / 100)


def test_only_runs_that_both_rows_have_are_compared() -> None:
    a, b = random_row(0, [15, 20], seeds=3), random_row(1, [15, 20], seeds=3)
    assert bootstrap_difference(a[:-1], b[1:], 3, draws=50) == bootstrap_difference(a[1:-1], b[1:-1], 3, draws=50)
    with pytest.raises(ProtocolError, match=r"no \(fold, seed\) in common"):
        bootstrap_difference(a[:1], b[1:], 3)


def test_runs_about_other_utterances_or_with_other_labels_are_refused() -> None:
    a = [run("1", 0, "0101", "0101")]
    with pytest.raises(
        ProtocolError, match=r"fold 1 was tested on 4 utterances in one run and on 3 in another \(1 only .* '1-003'\)"
    ):
        bootstrap_difference(a, [run("1", 0, "010", "010")], 2)
    with pytest.raises(ProtocolError, match="fold 1: utterance '1-003' has another label in another run"):
        bootstrap_difference(a, [run("1", 0, "0100", "0100")], 2)
    with pytest.raises(ProtocolError, match="fold 1: utterance '1-000' has another label"):
        bootstrap_ua([*a, run("1", 1, "1101", "0101")], 2)


def test_what_cannot_be_resampled_is_refused() -> None:
    good = run("1", 0, "01", "01")
    with pytest.raises(ProtocolError, match="no finished runs to resample"):
        bootstrap_ua([], 2)
    with pytest.raises(ProtocolError, match="fold 1, seed 0 is given twice"):
        bootstrap_ua([good, good], 2)
    with pytest.raises(ProtocolError, match="at least one draw, got 0"):
        bootstrap_ua([good], 2, draws=0)
    with pytest.raises(ProtocolError, match=r"a label lies outside 0\.\.1"):
        bootstrap_ua([run("1", 0, "02", "01")], 2)
    with pytest.raises(
        ProtocolError, match="fold 1, seed 0: 2 answers need as many different utterance ids, at least one, got 1"
    ):
        bootstrap_ua([run("1", 0, "01", "01", ["x", "x"])], 2)
    with pytest.raises(ProtocolError, match="0 answers need as many different utterance ids, at least one, got 0"):
        bootstrap_ua([run("1", 0, "", "")], 2)


def test_a_predictions_file_gives_its_runs() -> None:
    lines = "fold,seed,id,label,prediction,sad,angry\n1,0,x,sad,sad,0.9,0.1\n1,0,y,angry,sad,0.6,0.4\n1,3,x,sad,angry,0.2,0.8\n"
    first, second = answers_from_table(csv.DictReader(io.StringIO(lines)), ["angry", "sad"])
    assert (first.fold, first.seed, first.ids) == ("1", 0, ("x", "y"))
    np.testing.assert_array_equal(first.truth, [1, 0])
    np.testing.assert_array_equal(first.prediction, [1, 1])
    assert (second.seed, second.ids, second.prediction.tolist()) == (3, ("x",), [0])
    with pytest.raises(ProtocolError, match="utterance y: label 'angry' is none of sad, happy"):
        answers_from_table(csv.DictReader(io.StringIO(lines)), ["sad", "happy"])
