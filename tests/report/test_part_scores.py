import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.report.part_scores import PARTS, duration_part, part_order, part_scores, parts_of
from mer.report.utterance_facts import UtteranceFacts
from mer.results.run_files import PredictionRow


def said(name: str, label: str, prediction: str, seed: int = 0) -> PredictionRow:
    return PredictionRow(fold="1", seed=seed, id=name, label=label, prediction=prediction, probabilities=(0.5, 0.5))


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ab"), st.sampled_from("ab")), min_size=1, max_size=40))
def test_ua_of_a_part_is_the_mean_recall_of_its_classes(rows: list[tuple[str, str, str]]) -> None:
    predictions = [said(f"u{place}", label, prediction) for place, (_, label, prediction) in enumerate(rows)]
    found = part_scores(predictions, {f"u{place}": part for place, (part, _, _) in enumerate(rows)})
    assert {score.part for score in found} == {part for part, _, _ in rows}
    for score in found:
        labels = np.array([label for part, label, _ in rows if part == score.part])
        answers = np.array([answer for part, _, answer in rows if part == score.part])
        recalls = [np.mean(answers[labels == name] == name) for name in sorted(set(labels))]
        assert score.ua == pytest.approx(np.mean(recalls))
        assert (score.utterances, score.classes) == (len(labels), len(recalls))


def test_seeds_are_averaged_and_an_utterance_counts_once() -> None:
    rows = [said("u1", "a", "a"), said("u1", "a", "b", seed=1), said("u2", "b", "b"), said("u2", "b", "b", seed=1)]
    (score,) = part_scores([*rows, said("elsewhere", "a", "b")], {"u1": "x", "u2": "x", "elsewhere": ""})
    assert (score.ua, score.utterances, score.classes) == (0.75, 2, 2)


@pytest.mark.parametrize(
    ("seconds", "part"), [(0.0, "< 2 s"), (1.999, "< 2 s"), (2.0, "2-4 s"), (4.0, "4-8 s"), (8.0, "≥ 8 s"), (99.0, "≥ 8 s")]
)
def test_durations_fall_into_half_open_parts(seconds: float, part: str) -> None:
    assert duration_part(seconds) == part


def test_durations_are_ordered_by_length_and_names_by_name() -> None:
    assert part_order(["≥ 8 s", "2-4 s", "< 2 s"]) == ["< 2 s", "2-4 s", "≥ 8 s"]
    assert part_order(["2F", "1M", "1M"]) == ["1M", "2F"]


def test_what_is_unknown_belongs_to_no_part() -> None:
    facts = {"u": UtteranceFacts(id="u", session="3")}
    assert {name: parts_of(facts, name)["u"] for name in PARTS} == {**dict.fromkeys(PARTS, ""), "session": "3"}
