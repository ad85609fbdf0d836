import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.sessions import parse_sessions
from mer.corpus.utterance import CorpusError


@pytest.mark.parametrize(
    ("text", "sessions"),
    [
        ("1-5", ("1", "2", "3", "4", "5")),
        ("1,3-5", ("1", "3", "4", "5")),
        ("5, 1", ("5", "1")),
        ("2-2", ("2",)),
        ("1,1-2,1", ("1", "2")),
        ("Ses01,take_2,x-y", ("Ses01", "take_2", "x-y")),
    ],
)
def test_numbers_ranges_and_names_are_read_in_order(text: str, sessions: tuple[str, ...]) -> None:
    assert parse_sessions(text) == sessions


@pytest.mark.parametrize("text", ["", ",", "1,,2", "1-", "-3", "1--2", "a b", "1\u20135", "1;2", "*", "12345-12346"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(CorpusError, match="is neither a number, a range nor a name"):
        parse_sessions(text)


def test_a_backward_range_is_turned_round_in_the_advice() -> None:
    with pytest.raises(CorpusError, match=r"sessions '1,5-3': the range '5-3' runs backwards; write 3-5"):
        parse_sessions("1,5-3")


@given(st.text(max_size=12))
def test_any_text_gives_names_or_a_corpus_error(text: str) -> None:
    try:
        sessions = parse_sessions(text)
    except CorpusError:
        return
    assert sessions
    assert len(set(sessions)) == len(sessions)
    assert all(name and "," not in name for name in sessions)
