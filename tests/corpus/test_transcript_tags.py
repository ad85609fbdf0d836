import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.transcript_tags import is_only_tags, remove_tags


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well, [LAUGHTER] here we  are.", "Well, here we are."),
        ("[LAUGHTER]", ""),
        (" [Mumbles something]\t[garbage] ", ""),
        ("so[BREATHING]so", "so so"),
        ("one [a [b] c] two", "one two"),
        ("an [unfinished tag", "an [unfinished tag"),
        ("an] early [LAUGHTER] end]", "an] early end]"),
        ("tab\there", "tab here"),
        ("", ""),
    ],
)
def test_tags_go_and_words_stay(text: str, words: str) -> None:
    assert remove_tags(text) == words


@pytest.mark.parametrize(("text", "only"), [("[LAUGHTER]", True), ("[a] [b]", True), ("", False), ("[a] b", False)])
def test_tag_only_texts_are_told_from_empty_ones(text: str, only: bool) -> None:
    assert is_only_tags(text) is only


@given(st.text(alphabet="ab []\t", max_size=20))
def test_nothing_in_brackets_is_left_and_again_changes_nothing(text: str) -> None:
    words = remove_tags(text)
    assert remove_tags(words) == words
    assert not re.search(r"\[.*\]", words)
    assert "  " not in words


@given(st.text(alphabet=st.characters(exclude_characters="[]"), max_size=20))
def test_text_without_tags_only_loses_white_space(text: str) -> None:
    assert remove_tags(text) == " ".join(text.split())
