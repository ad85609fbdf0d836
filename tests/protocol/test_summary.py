import json

import numpy as np
import pytest

from mer.protocol import ProtocolError, RunPredictions, summarise

CLASSES = ("angry", "sad")


def run(fold: str, seed: int, truth: list[int], prediction: list[int], styles: str = "") -> RunPredictions:
    return RunPredictions(
        fold=fold,
        seed=seed,
        truth=np.array(truth, dtype=np.int64),
        prediction=np.array(prediction, dtype=np.int64),
        styles=tuple({"i": "improvised", "s": "scripted"}[each] for each in styles) or ("",) * len(truth),
    )


RUNS = [
    run("1", 0, [0, 0, 1], [0, 1, 1], "isi"),  # recalls 1/2, 1: UA 3/4, WA 2/3
    run("1", 1, [0, 0, 1], [0, 0, 1], "isi"),  # UA 1, WA 1
    run("2", 0, [0, 1, 1, 1], [0, 0, 0, 1], "ssss"),  # recalls 1, 1/3: UA 2/3, WA 1/2
    run("2", 1, [0, 1, 1, 1], [1, 1, 1, 1], "ssss"),  # recalls 0, 1: UA 1/2, WA 3/4
]


def test_means_and_merged_scores_follow_their_definitions() -> None:
    found = summarise(RUNS, CLASSES).all
    assert found.utterances == 7
    np.testing.assert_allclose(found.measures["ua"].mean_of_folds, (3 / 4 + 1 + 2 / 3 + 1 / 2) / 4)
    np.testing.assert_allclose(found.measures["wa"].mean_of_folds, (2 / 3 + 1 + 1 / 2 + 3 / 4) / 4)
    # Merged: seed 0 finds 2 of 3 angry and 2 of 4 sad; seed 1 finds 2 of 3 and 4 of 4.
    assert found.measures["ua"].merged is not None
    np.testing.assert_allclose(found.measures["ua"].merged, ((2 / 3 + 2 / 4) / 2 + (2 / 3 + 1) / 2) / 2)
    assert found.measures["wa"].merged is not None
    np.testing.assert_allclose(found.measures["wa"].merged, (4 / 7 + 6 / 7) / 2)


def test_spreads_over_folds_and_over_seeds_are_sample_deviations_of_means() -> None:
    found = summarise(RUNS, CLASSES).all.measures["ua"]
    folds = [(3 / 4 + 1) / 2, (2 / 3 + 1 / 2) / 2]
    seeds = [(3 / 4 + 2 / 3) / 2, (1 + 1 / 2) / 2]
    assert found.std_folds is not None
    assert found.std_seeds is not None
    np.testing.assert_allclose(found.std_folds, abs(folds[0] - folds[1]) / np.sqrt(2))
    np.testing.assert_allclose(found.std_seeds, abs(seeds[0] - seeds[1]) / np.sqrt(2))


def test_one_fold_or_one_seed_has_no_spread() -> None:
    found = summarise(RUNS[:1], CLASSES).all.measures["ua"]
    assert (found.std_folds, found.std_seeds) == (None, None)
    assert found.merged == found.mean_of_folds == 0.75


def test_styles_are_scored_apart_and_absent_classes_are_named() -> None:
    found = summarise(RUNS, CLASSES)
    assert sorted(found.styles) == ["improvised", "scripted"]
    improvised = found.styles["improvised"]  # only fold 1: one angry, one sad
    assert improvised.utterances == 2
    assert improvised.measures["ua"].mean_of_folds == 1.0
    assert improvised.measures["ua"].merged == 1.0
    scripted = found.styles["scripted"]
    assert scripted.utterances == 5
    assert scripted.absent == ("1/sad",)
    np.testing.assert_allclose(scripted.measures["wa"].mean_of_folds, (0 + 1 + 1 / 2 + 3 / 4) / 4)
    assert found.all.absent == ()


def test_recalls_and_confusion_add_up_over_runs() -> None:
    found = summarise(RUNS, CLASSES)
    assert found.confusion == ((4, 2), (2, 6))
    assert found.recall == {"angry": 4 / 6, "sad": 6 / 8}
    assert found.runs == 4
    assert (found.folds, found.seeds) == (("1", "2"), (0, 1))


def test_a_missing_run_leaves_its_seed_out_of_the_merged_score() -> None:
    found = summarise(RUNS[:3], CLASSES).all.measures["wa"]
    np.testing.assert_allclose(found.mean_of_folds, (2 / 3 + 1 + 1 / 2) / 3)
    assert found.merged is not None
    np.testing.assert_allclose(found.merged, 4 / 7)
    assert summarise([RUNS[0], RUNS[3]], CLASSES).all.measures["wa"].merged is None


def test_a_class_without_test_utterances_has_no_recall() -> None:
    found = summarise([run("1", 0, [0, 0], [0, 1])], CLASSES)
    assert found.recall == {"angry": 0.5, "sad": None}
    assert found.all.absent == ("1/sad",)


def test_a_summary_is_json() -> None:
    text = json.dumps(summarise(RUNS, CLASSES).as_dict(), allow_nan=False)
    assert json.loads(text)["all"]["utterances"] == 7


def test_no_runs_or_one_twice_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no finished runs"):
        summarise([], CLASSES)
    with pytest.raises(ProtocolError, match="fold 1, seed 0 is given twice"):
        summarise([RUNS[0], RUNS[0]], CLASSES)


def test_the_spread_of_equal_values_is_exactly_0() -> None:
    # WA of seed 0 is (1/3 + 2/3 + 1/7) / 3 and of seed 1 the same three shares in another order, so that rounding differs.
    def right(fold: str, seed: int, hits: int, of: int) -> RunPredictions:
        return run(fold, seed, [0] * (of - 1) + [1], [0] * hits + [1] * (of - 1 - hits) + [0])

    for shares in (((1, 3), (2, 3), (1, 7)), ((3, 10), (1, 10), (2, 10)), ((5, 7), (4, 9), (7, 11))):
        runs = [right(str(fold), 0, hits, of) for fold, (hits, of) in enumerate(shares)]
        runs += [right(str(fold), 1, hits, of) for fold, (hits, of) in enumerate((*shares[1:], shares[0]))]
        runs += [right(str(fold), 2, hits, of) for fold, (hits, of) in enumerate((*shares[2:], *shares[:2]))]
        assert summarise(runs, CLASSES).all.measures["wa"].std_seeds == 0.0
    equal = summarise([right(str(fold), seed, 2, 3) for fold in range(3) for seed in range(5)], CLASSES).all
    assert (
        equal.measures["wa"].std_seeds,
        equal.measures["wa"].std_folds,
        equal.measures["ua"].std_seeds,
        equal.measures["ua"].std_folds,
    ) == (0.0, 0.0, 0.0, 0.0)


def test_a_spread_that_is_small_is_still_a_spread() -> None:
    many = [0] * 100_000 + [1]
    runs = [run("1", 0, many, many), run("1", 1, many, [1, *many[1:]])]
    found = summarise(runs, CLASSES).all.measures["wa"].std_seeds
    assert found is not None
    np.testing.assert_allclose(found, 1 / 100_001 / 2**0.5, rtol=1e-9)
