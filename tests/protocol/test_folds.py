from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.protocol import Cut, Fold, ProtocolError, Validation, group_names, make_fold, missing_classes, missing_note


def cut_of(sessions: Sequence[str], test: str) -> Cut:
    inside = np.array(list(sessions)) == test
    return Cut(name=test, train=np.flatnonzero(~inside), dev=np.zeros(0, dtype=np.int64), test=np.flatnonzero(inside))


def split(
    sessions: list[str],
    *,
    test: str = "1",
    seed: int = 0,
    validation: Validation = "random",
    share: float = 0.1,
) -> Fold:
    return make_fold(
        cut_of(sessions, test),
        sessions=sessions,
        groups=sessions,
        targets=np.arange(len(sessions), dtype=np.int64) % 2,
        classes=["angry", "sad"],
        seed=seed,
        validation=validation,
        share=share,
    )


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(8, 30), min_size=3, max_size=6),
    seed=st.integers(0, 2**40),
    rule=st.sampled_from(["random", "session"]),
    data=st.data(),
)
def test_parts_are_disjoint_and_complete_and_the_test_part_is_the_session(
    sizes: list[int], seed: int, rule: Validation, data: st.DataObject
) -> None:
    sessions = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    test = data.draw(st.sampled_from(sorted(set(sessions))))
    order = data.draw(st.permutations(range(len(sessions))))
    sessions = [sessions[row] for row in order]
    fold = split(sessions, test=test, seed=seed, validation=rule)
    together = np.concatenate([fold.train, fold.validation, fold.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(len(sessions)))
    assert all(np.all(np.diff(part) > 0) for part in (fold.train, fold.validation, fold.test))
    assert {sessions[row] for row in fold.test} == {test}
    assert test not in {sessions[row] for row in np.concatenate([fold.train, fold.validation])}
    if rule == "session":
        held_out = {sessions[row] for row in fold.validation}
        assert len(held_out) == 1
        assert not held_out & {sessions[row] for row in fold.train}
    else:
        assert len(fold.validation) == round(0.1 * (len(sessions) - len(fold.test)))


def test_the_validation_part_changes_with_the_seed_and_the_fold_and_with_nothing_else() -> None:
    sessions = [str(row % 5) for row in range(200)]
    first = split(sessions, seed=1).validation.tolist()
    assert split(sessions, seed=1).validation.tolist() == first
    assert split(sessions, seed=2).validation.tolist() != first
    other = split(sessions, seed=1, test="2")
    assert other.validation.tolist() != first
    fold = split(sessions, seed=1)
    places = [np.searchsorted(np.sort(np.concatenate([each.train, each.validation])), each.validation) for each in (fold, other)]
    assert places[0].tolist() != places[1].tolist()


def test_sessions_take_turns_as_validation_with_the_seed() -> None:
    sessions = [str(1 + row % 5) for row in range(100)]
    held_out = [sessions[split(sessions, test="3", seed=seed, validation="session").validation[0]] for seed in range(5)]
    assert held_out == ["1", "2", "4", "5", "1"]


def test_at_least_one_utterance_validates() -> None:
    assert len(split(["1", "1", "2", "2", "2", "2"]).validation) == 1


def test_sessions_are_sorted_by_number() -> None:
    assert group_names(["10", "b", "2", "a", "2"]) == ("2", "10", "a", "b")


@pytest.mark.parametrize("rule", ["session", "group"])
def test_a_whole_session_or_group_is_held_out_of_two_at_least(rule: Validation) -> None:
    with pytest.raises(ProtocolError, match=rf"fold 1: validation '{rule}' holds whole {rule}s out, .* has 1 \(2\): use --val"):
        split(["1", "1", "2", "2"], validation=rule)


def test_an_unknown_rule_and_a_share_outside_are_refused() -> None:
    with pytest.raises(ProtocolError, match="share must lie between 0 and 1, got 1"):
        split(["1", "2"], share=1.0)


def test_a_class_without_training_utterances_is_counted_and_one_class_alone_is_refused() -> None:
    def fold(targets: Sequence[int]) -> Fold:
        about = {"sessions": list("12222"), "groups": list("12222"), "classes": ["angry", "happy", "sad"]}
        return make_fold(cut_of("12222", "1"), targets=np.array(targets), seed=0, validation="none", **about)  # type: ignore[arg-type]

    folds = [fold([2, 0, 1, 0, 1]), fold([2, 0, 1, 2, 1])]
    assert [each.missing for each in folds] == [("sad",), ()]
    assert (missing_classes(folds), missing_classes(folds[1:]), missing_note({})) == ({"1": ["sad"]}, {}, None)
    told = missing_note(missing_classes(folds))
    assert told is not None
    assert "no training utterance of class sad in fold 1: what is of it is told wrong; leave it out with --drop-class sad" in told
    with pytest.raises(
        ProtocolError, match=r"fold 1 \(seed 0\): no training utterance of class happy, sad among 4.*--fold-count"
    ):
        fold([1, 0, 0, 0, 0])


def text_split(texts: list[str] | None, *, text_disjoint: bool = True, seed: int = 0, validation: Validation = "random") -> Fold:
    sessions = [str(1 + row % 3) for row in range(len(texts) if texts is not None else 30)]
    return make_fold(
        cut_of(sessions, "2"),
        sessions=sessions,
        groups=sessions,
        targets=np.arange(len(sessions), dtype=np.int64) // 3 % 2,
        classes=["angry", "sad"],
        seed=seed,
        validation=validation,
        texts=texts,
        text_disjoint=text_disjoint,
    )


def test_the_draws_of_ordinary_folds_are_those_of_the_first_version() -> None:
    sessions = [str(1 + row % 5) for row in range(60)]
    assert split(sessions, test="3", seed=7).validation.tolist() == [20, 38, 50, 51, 53]
    assert split(sessions, test="3", seed=7).removed == 0


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.sampled_from(["yes", "Yes!", "no", "maybe so", "well", "", "[LAUGHTER]", *"abcdefghijkl"]), min_size=60, max_size=90
    ),
    seed=st.integers(0, 99),
    rule=st.sampled_from(["random", "session"]),
)
def test_text_disjoint_folds_are_the_ordinary_ones_less_the_sentences_of_the_test_session(
    texts: list[str], seed: int, rule: Validation
) -> None:
    texts = [text + (f" {row}" if row < 24 else "") for row, text in enumerate(texts)]
    whole = text_split(texts, text_disjoint=False, seed=seed, validation=rule)
    words = [text.lower().replace("!", "").replace("[laughter]", "").strip() for text in texts]
    heard = {words[row] for row in whole.test} - {""}
    kept = [[row for row in part.tolist() if words[row] not in heard] for part in (whole.train, whole.validation)]
    if not kept[1]:
        with pytest.raises(ProtocolError, match="no validation utterance is left after"):
            text_split(texts, seed=seed, validation=rule)
        return
    fold = text_split(texts, seed=seed, validation=rule)
    assert [fold.train.tolist(), fold.validation.tolist()] == kept
    np.testing.assert_array_equal(fold.test, whole.test)
    assert fold.removed == len(whole.train) + len(whole.validation) - len(fold.train) - len(fold.validation)
    assert fold.train.dtype == fold.validation.dtype == np.int64


def test_text_disjoint_needs_one_text_per_utterance() -> None:
    with pytest.raises(ProtocolError, match="need the transcript of each of 30 utterances, got none"):
        text_split(None)
    with pytest.raises(ProtocolError, match="need the transcript of each of 6 utterances, got 2"):
        make_fold(
            cut_of("112233", "1"),
            sessions="112233",
            groups="112233",
            targets=np.arange(6, dtype=np.int64) % 2,
            classes=["angry", "sad"],
            seed=0,
            texts=["a", "b"],
            text_disjoint=True,
        )


def test_a_class_whose_sentences_are_all_in_the_test_session_is_named() -> None:
    texts = [f"sentence {row}" if row // 3 % 2 else "always the same" for row in range(60)]
    with pytest.raises(ProtocolError, match=r"class angry among \d+ after 20 whose text is in the test part were removed"):
        text_split(texts)


def test_a_validation_part_that_is_all_shared_is_refused() -> None:
    chosen = text_split([str(row) for row in range(30)]).validation.tolist()
    texts = ["shared" if row in chosen or row % 3 == 1 else str(row) for row in range(30)]
    with pytest.raises(ProtocolError, match=r"no validation utterance is left after 2 whose text .*larger validation share"):
        text_split(texts)


def test_texts_alone_change_nothing() -> None:
    texts = ["the same"] * 30
    fold, plain = text_split(texts, text_disjoint=False), text_split(None, text_disjoint=False)
    np.testing.assert_array_equal(fold.train, plain.train)
    np.testing.assert_array_equal(fold.validation, plain.validation)
