import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mer.protocol import ProtocolError, RunAnswers, against_published, bootstrap_difference, compare, compare_rows, holm

Cells = dict[tuple[str, int], float]


def cells(values: list[list[float]]) -> Cells:
    """One list a fold, one value a seed."""
    return {(str(fold + 1), seed): value for fold, row in enumerate(values) for seed, value in enumerate(row)}


def answers(fold: str, seed: int, right: str) -> RunAnswers:
    """Utterances of classes 0, 1, 0, 1 ..., answered right (`1`) or wrong (`0`)."""
    truth = np.arange(len(right)) % 2
    return RunAnswers(
        fold=fold,
        seed=seed,
        ids=tuple(f"{fold}-{number}" for number in range(len(right))),
        truth=truth,
        prediction=np.where(np.array(list(right)) == "1", truth, 1 - truth),
        styles=("",) * len(right),
    )


@settings(max_examples=40, deadline=None)
@given(folds=st.integers(2, 6), seeds=st.integers(2, 6), draw=st.integers(0, 10_000))
def test_both_p_values_are_those_of_scipys_paired_t_test(folds: int, seeds: int, draw: int) -> None:
    generator = np.random.default_rng(draw)
    a, b = generator.uniform(0.5, 0.8, (2, folds, seeds))
    found = compare(cells(a.tolist()), cells(b.tolist()))
    assert found.p is not None
    assert found.p_folds is not None
    np.testing.assert_allclose(found.p, stats.ttest_rel(a.ravel(), b.ravel()).pvalue, rtol=1e-9)
    np.testing.assert_allclose(found.p_folds, stats.ttest_rel(a.mean(1), b.mean(1)).pvalue, rtol=1e-9)
    np.testing.assert_allclose(found.difference, (a - b).mean(), atol=1e-15)
    assert (found.pairs, found.unpaired, found.folds) == (folds * seeds, 0, folds)
    swapped = compare(cells(b.tolist()), cells(a.tolist()))
    assert swapped.p is not None
    np.testing.assert_allclose(swapped.p, found.p, rtol=1e-12)
    np.testing.assert_allclose(swapped.difference, -found.difference, atol=1e-15)


def test_a_paired_test_worked_by_hand() -> None:
    # Differences 1, 2, 3 points: mean 2, deviation 1, t = 2 sqrt(3) with 2 degrees of freedom, where
    # P(|T| > t) = 1 - t / sqrt(t^2 + 2).
    found = compare({("1", 0): 0.51, ("2", 0): 0.62, ("3", 0): 0.73}, {("1", 0): 0.5, ("2", 0): 0.6, ("3", 0): 0.7})
    assert found.p is not None
    np.testing.assert_allclose(found.p, 1 - np.sqrt(12 / 14), rtol=1e-9)
    np.testing.assert_allclose(found.difference, 0.02, rtol=1e-12)


def test_seeds_that_agree_within_folds_convince_the_test_over_pairs_and_not_the_one_over_folds() -> None:
    a = [[0.70 + shift + 0.001 * seed for seed in range(5)] for shift in (0.05, 0.04, -0.01, 0.03, -0.02)]
    found = compare(cells(a), cells([[0.70] * 5] * 5))
    assert found.p is not None
    assert found.p_folds is not None
    assert found.p < 0.01
    assert found.p_folds > 0.2


def test_only_cells_that_both_rows_have_take_part_and_the_rest_are_counted() -> None:
    a = cells([[0.6, 0.7], [0.5, 0.9]])
    b = {("1", 0): 0.5, ("1", 1): 0.65, ("2", 1): 0.8, ("3", 0): 0.1}
    found = compare(a, b)
    assert (found.pairs, found.unpaired, found.folds) == (3, 2, 2)
    np.testing.assert_allclose(found.difference, (0.1 + 0.05 + 0.1) / 3)
    expected = stats.ttest_rel([0.075, 0.1], [0.0, 0.0]).pvalue
    assert found.p_folds is not None
    np.testing.assert_allclose(found.p_folds, expected, rtol=1e-9)


def test_no_difference_at_all_has_p_one() -> None:
    row = cells([[0.1 + 0.2, 0.7], [0.6, 0.5]])
    found = compare(row, {**row, ("1", 0): 0.3})  # 0.1 + 0.2 is not 0.3 in binary
    assert (found.p, found.p_folds) == (1.0, 1.0)


def test_one_pair_and_pairs_that_differ_equally_have_no_p() -> None:
    one = compare({("1", 0): 0.7}, {("1", 0): 0.6})
    assert (one.p, one.p_folds) == (None, None)
    np.testing.assert_allclose(one.difference, 0.1)
    equal = compare({("1", 0): 0.7, ("2", 0): 0.8}, {("1", 0): 0.6, ("2", 0): 0.7})
    assert (equal.p, equal.p_folds) == (None, None)
    one_fold = compare({("1", 0): 0.7, ("1", 1): 0.8}, {("1", 0): 0.6, ("1", 1): 0.6})
    assert one_fold.p is not None
    assert one_fold.p_folds is None


def test_degenerate_comparisons_are_silent() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        compare({("1", 0): 0.7}, {("1", 0): 0.6})
        compare({("1", 0): 0.7, ("2", 0): 0.7}, {("1", 0): 0.7, ("2", 0): 0.7})
        compare({("1", 0): 0.7, ("2", 0): 0.8}, {("1", 0): 0.6, ("2", 0): 0.7})
    assert said == []


def test_rows_without_a_common_cell_are_refused() -> None:
    with pytest.raises(ProtocolError, match=r"2 and 1 runs, have no \(fold, seed\) in common"):
        compare({("1", 0): 0.7, ("1", 1): 0.7}, {("2", 0): 0.6})


def test_holms_correction_by_hand() -> None:
    # Sorted 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1; the last may not fall below the one before it.
    found = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(np.array(found, dtype=float), [0.03, 0.06, 0.06, 0.02], rtol=1e-15)
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holms_correction_is_that_of_statsmodels() -> None:
    generator = np.random.default_rng(0)
    for count in range(1, 13):
        values = (generator.random(count) ** 3).round(2).tolist()  # ties, and some that are far below 0.05
        theirs: Any = multipletests(values, method="holm")[1]
        np.testing.assert_allclose(np.array(holm(values), dtype=float), theirs, rtol=1e-12)


def test_what_was_not_tested_stays_so_and_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.03]) == [None, 0.04, None, 0.04]
    assert holm([None]) == [None]


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=8), level=st.sampled_from([0.01, 0.05, 0.2]), data=st.data())
def test_holm_rejects_what_the_step_down_procedure_rejects(values: list[float], level: float, data: st.DataObject) -> None:
    found = [0.0 if value is None else value for value in holm(values)]
    rejected = set()
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):  # Holm 1979, section 3
        if (len(values) - rank) * values[place] >= level:
            break
        rejected.add(place)
    assert {place for place, value in enumerate(found) if value < level} == rejected
    assert all(raw <= value <= 1 for raw, value in zip(values, found, strict=True))
    order = data.draw(st.permutations(range(len(values))))
    assert holm([values[place] for place in order]) == [found[place] for place in order]


def test_a_p_value_outside_is_refused() -> None:
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ProtocolError, match=f"between 0 and 1, got {wrong}"):
            holm([0.2, wrong])


ROWS = {
    "late": [answers("1", 0, "11110000"), answers("1", 1, "11111000"), answers("2", 0, "11000011"), answers("2", 1, "110011")],
    "text": [answers("1", 0, "11000000"), answers("1", 1, "11110000"), answers("2", 0, "11000000"), answers("2", 1, "110001")],
    "half": [answers("1", 0, "00000000"), answers("1", 1, "11000000"), answers("2", 0, "10000011")],
}
ROWS = {name: [run for run in runs if (run.fold, run.seed) != ("2", 1)] for name, runs in ROWS.items()}


def test_rows_are_compared_with_the_reference_and_corrected_over_the_table() -> None:
    found = compare_rows(ROWS, "text", 2, draws=200, seed=4)
    assert [(each.row, each.reference, each.pairs) for each in found] == [("late", "text", 3), ("half", "text", 3)]
    # UA of late: 4/8, 5/8, 4/8; of text: 2/8, 4/8, 2/8, since both classes are equally frequent.
    np.testing.assert_allclose(found[0].difference, (2 / 8 + (3 / 4 + 2 / 4) / 2 - 4 / 8 + 2 / 8) / 3)
    raw, folds = [each.p for each in found], [each.p_folds for each in found]
    assert [each.p_holm for each in found] == holm(raw)
    assert [each.p_folds_holm for each in found] == holm(folds)
    assert raw != folds
    for each in found:
        interval = bootstrap_difference(ROWS[each.row], ROWS["text"], 2, draws=200, seed=4)
        assert (each.low, each.high, each.p_bootstrap) == (interval.low, interval.high, interval.p)
        np.testing.assert_allclose(each.difference, interval.estimate, atol=1e-15)
    assert found[0].as_dict()["row"] == "late"


def test_an_unknown_reference_and_rows_that_do_not_fit_are_named() -> None:
    with pytest.raises(ProtocolError, match="no row 'best' to compare with, expected one of late, text, half"):
        compare_rows(ROWS, "best", 2)
    with pytest.raises(ProtocolError, match=r"other against text: the two rows have no \(fold, seed\) in common"):
        compare_rows({**ROWS, "other": [answers("9", 0, "11")]}, "text", 2)


def test_the_noise_is_the_t_interval_of_two_means_of_seeds() -> None:
    found = against_published(ours=0.75, std_seeds=0.005, seeds=5, published=0.758, paper_seeds=5)
    assert found.noise is not None
    np.testing.assert_allclose(found.noise, 2.7764451 * 0.005 * np.sqrt(2 / 5), rtol=1e-7)  # t(0.975, 4)
    np.testing.assert_allclose(found.difference, -0.008, rtol=1e-12)
    assert found.verdict == "inside"
    assert against_published(ours=0.75, std_seeds=0.005, seeds=5, published=0.759, paper_seeds=5).verdict == "outside"
    assert against_published(ours=0.76, std_seeds=0.005, seeds=5, published=0.751, paper_seeds=5).verdict == "outside"
    assert (
        against_published(ours=0.75, std_seeds=0.005, seeds=2, published=0.79, paper_seeds=2).verdict == "inside"
    )  # t(0.975, 1) = 12.7
    assert found.as_dict()["published"] == 0.758


@pytest.mark.parametrize(("seeds", "paper_seeds"), [(4, 4), (10, 5), (3, 1), (5, None)])
def test_a_mean_of_so_many_other_seeds_is_inside_the_noise_in_95_of_100(seeds: int, paper_seeds: int | None) -> None:
    generator = np.random.default_rng(5)
    ours = generator.normal(0.7, 0.01, (3000, seeds))
    theirs = generator.normal(0.7, 0.01, (3000, paper_seeds or 1)).mean(1)
    found = [
        against_published(
            ours=float(a.mean()), std_seeds=float(a.std(ddof=1)), seeds=seeds, published=float(b), paper_seeds=paper_seeds
        )
        for a, b in zip(ours, theirs, strict=True)
    ]
    if paper_seeds is None:
        assert {(each.verdict, each.noise) for each in found} == {("unknown", None)}
        return
    inside = [each.verdict for each in found].count("inside")
    assert abs(inside / 3000 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 3000)
    assert found[0].noise is not None
    expected = stats.t.ppf(0.975, seeds - 1) * ours[0].std(ddof=1) * np.sqrt(1 / seeds + 1 / paper_seeds)
    assert found[0].noise is not None
    np.testing.assert_allclose(found[0].noise, expected, rtol=1e-9)


def test_a_paper_of_no_seeds_is_refused() -> None:
    with pytest.raises(ProtocolError, match="of 1 seed or more, got 0"):
        against_published(ours=0.7, std_seeds=0.01, seeds=5, published=0.7, paper_seeds=0)


def test_a_single_seed_says_nothing_about_the_noise() -> None:
    found = against_published(ours=0.75, std_seeds=None, seeds=1, published=0.7, paper_seeds=5)
    assert (found.noise, found.verdict) == (None, "unknown")
    np.testing.assert_allclose(found.difference, 0.05)


def test_percent_and_impossible_spreads_are_refused() -> None:
    with pytest.raises(ProtocolError, match=r"the published UA must be a share between 0 and 1, got 75.8; divide percent by 100"):
        against_published(ours=0.75, std_seeds=None, seeds=1, published=75.8, paper_seeds=5)
    with pytest.raises(ProtocolError, match=r"our UA must be a share between 0 and 1, got 75.8"):
        against_published(ours=75.8, std_seeds=None, seeds=1, published=0.7, paper_seeds=5)
    with pytest.raises(ProtocolError, match=r"a spread of 0.1 over 1 seeds is impossible"):
        against_published(ours=0.75, std_seeds=0.1, seeds=1, published=0.7, paper_seeds=5)
    with pytest.raises(ProtocolError, match="a spread of None over 0 seeds is impossible"):
        against_published(ours=0.75, std_seeds=None, seeds=0, published=0.7, paper_seeds=5)
