import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.protocol import normalised_text, shared_texts, text_overlap


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Excuse me.", "excuse me"),
        ("EXCUSE   me?!\n", "excuse me"),
        ("[LAUGHTER] Excuse [BREATHING [x]] me", "excuse me"),
        ("I don't know--really", "i dont know really"),
        ("I don\u2019t know, really.", "i dont know really"),
        ("stop_it 24/7", "stop it 24 7"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("cafe\u0301", "caf\u00e9"),
        ("हिंदी।", "हिंदी"),
        ("an open [bracket", "an open bracket"),
        ("[LAUGHTER]", ""),
        (" ...\t", ""),
        ("", ""),
    ],
)
def test_only_words_are_left_of_a_transcript(written: str, words: str) -> None:
    assert normalised_text(written) == words


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=20))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalised_text(normalised_text(text)) == normalised_text(text)


def test_rows_whose_sentence_is_in_the_test_part_are_found_in_their_order() -> None:
    texts = ["Yeah.", "Why?", "yeah", "[LAUGHTER]", "...", "WHY", "Because"]
    found = shared_texts(texts, np.array([5, 0, 3, 6]), np.array([1, 2, 4]))
    np.testing.assert_array_equal(found, [5, 0])
    assert found.dtype == np.int64
    assert len(shared_texts(texts, np.array([6, 3]), np.array([0, 4]))) == 0


def test_texts_without_words_never_match() -> None:
    assert len(shared_texts(["", "[LAUGHTER]", "?", ""], np.array([0, 1]), np.array([2, 3]))) == 0


def test_recurring_texts_are_counted_by_style_across_sessions_only() -> None:
    sessions = ["1", "1", "1", "2", "2", "3", "3"]
    texts = ["Hello.", "twice here", "Twice, here!", "hello", "", "[LAUGHTER]", "alone"]
    styles = ["scripted", "improvised", "improvised", "improvised", "scripted", "scripted", ""]
    found = text_overlap(sessions, texts, styles)
    assert (found.all.utterances, found.all.recurring) == (7, 2)
    assert found.all.share == 2 / 7
    assert {name: (each.utterances, each.recurring) for name, each in found.styles.items()} == {
        "improvised": (3, 1),
        "scripted": (3, 1),
    }
    sessions_alone = {name: (each.utterances, each.recurring) for name, each in found.sessions.items()}
    assert sessions_alone == {"1": (3, 1), "2": (2, 1), "3": (2, 0)}
    assert text_overlap([], [], []).all.share == 0.0


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter than argument 1"):
        text_overlap(["1", "2"], ["a"], ["", ""])


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from("123"), st.sampled_from(["a", "A!", "b", "c d", "", "?"])), max_size=12))
def test_the_overlap_is_what_leaving_each_session_out_in_turn_finds(rows: list[tuple[str, str]]) -> None:
    sessions, texts = [session for session, _ in rows], [text for _, text in rows]
    counts = {}
    for left_out in set(sessions):
        inside = np.array([row for row, session in enumerate(sessions) if session == left_out], dtype=np.int64)
        outside = np.array([row for row, session in enumerate(sessions) if session != left_out], dtype=np.int64)
        counts[left_out] = len(shared_texts(texts, inside, outside))
    found = text_overlap(sessions, texts, [""] * len(rows))
    assert {name: each.recurring for name, each in found.sessions.items()} == counts
    assert found.all.recurring == sum(counts.values())
