import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, confusion_matrix, f1_score

from mer.protocol import METRICS, Metric, ProtocolError, confusion, recalls, unweighted_accuracy, weighted_accuracy
from mer.protocol.answers import Answers
from mer.protocol.metrics import class_f1, definitions_table, kappa, macro_f1, weighted_f1


def recalls_reference(truth: list[int], prediction: list[int], classes: int) -> list[float]:
    found = []
    for number in range(classes):
        total = right = 0
        for true, said in zip(truth, prediction, strict=True):
            if true == number:
                total += 1
                right += said == number
        found.append(right / total if total else float("nan"))
    return found


pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(pairs=pairs)
def test_measures_equal_scikit_learn_and_a_plain_loop(pairs: list[tuple[int, int]]) -> None:
    truth, prediction = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    matrix = confusion(truth, prediction, 4)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, confusion_matrix(truth, prediction, labels=range(4)))
    expected = recalls_reference(truth.tolist(), prediction.tolist(), 4)
    np.testing.assert_array_equal(recalls(matrix), expected)
    present = [value for value in expected if not np.isnan(value)]
    np.testing.assert_allclose(unweighted_accuracy(matrix), sum(present) / len(present), rtol=1e-15)
    assert weighted_accuracy(matrix) == accuracy_score(truth, prediction)
    np.testing.assert_allclose(macro_f1(matrix), f1_score(truth, prediction, average="macro"), rtol=1e-14)
    np.testing.assert_allclose(weighted_f1(matrix), f1_score(truth, prediction, average="weighted"), rtol=1e-14)
    per_class = f1_score(truth, prediction, average=None, labels=range(4), zero_division=0)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(class_f1(matrix), per_class, rtol=1e-14)
    if len({*truth.tolist(), *prediction.tolist()}) > 1:
        np.testing.assert_allclose(kappa(matrix), cohen_kappa_score(truth, prediction), rtol=1e-12, atol=1e-14)
    else:
        assert kappa(matrix) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about classes that are predicted but never true
        np.testing.assert_allclose(unweighted_accuracy(matrix), balanced_accuracy_score(truth, prediction), rtol=1e-14)


@settings(max_examples=30, deadline=None)
@given(pairs=pairs, data=st.data())
def test_the_order_of_utterances_changes_nothing(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(pairs))
    first, second = (np.array(rows, dtype=np.int64) for rows in (pairs, shuffled))
    np.testing.assert_array_equal(confusion(first[:, 0], first[:, 1], 4), confusion(second[:, 0], second[:, 1], 4))


def test_ua_and_wa_are_not_the_same_thing() -> None:
    matrix = confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), 2)
    assert unweighted_accuracy(matrix) == 0.5
    assert weighted_accuracy(matrix) == 0.75


def test_a_class_outside_and_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ProtocolError, match=r"a prediction lies outside 0..1: 0..2"):
        confusion(np.array([0, 1, 1]), np.array([0, 1, 2]), 2)
    with pytest.raises(ProtocolError, match="a label lies outside"):
        confusion(np.array([-1]), np.array([0]), 2)
    with pytest.raises(ProtocolError, match="2 labels but 1 predictions"):
        confusion(np.array([0, 1]), np.array([0]), 2)


def test_nothing_cannot_be_scored() -> None:
    nobody, none = np.zeros(0, dtype=np.int64), np.zeros((0, 2))
    answers = Answers(truth=nobody, prediction=nobody, probabilities=none, scaled=none)
    for metric in METRICS.values():
        if metric.of_ratings is None and not metric.beside_votes:
            with pytest.raises(ProtocolError, match="no utterances to score"):
                metric.value(answers, np.zeros((2, 2), dtype=np.int64))


def test_a_measure_is_computed_in_one_way() -> None:
    told: dict[str, Any] = {"title": "x", "meaning": "", "formula": "", "remark": ""}
    both: dict[str, Any] = {"score": lambda matrix: 0.0, "of_answers": lambda answers: 0.0}
    for ways in ({}, both):
        with pytest.raises(ProtocolError, match="the measure x needs one of `score`"):
            Metric(**told, **ways)


def test_the_definitions_of_the_docs_are_those_of_the_measures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    written = page.partition("<!-- measures:")[2].partition("-->\n")[2].partition("\n<!-- end of measures -->")[0]
    assert written == definitions_table()
