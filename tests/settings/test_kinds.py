"""How more than a number or a word is written, on the command line and in files alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.settings.kinds import NUMBERS, SESSIONS, KindError


def sessions_of(text: str) -> tuple[str, ...]:
    return tuple(SESSIONS.read("sessions", text))


@pytest.mark.parametrize(
    ("text", "sessions"),
    [
        ("1-5", ("1", "2", "3", "4", "5")),
        ("1,3-5", ("1", "3", "4", "5")),
        ("5, 1", ("5", "1")),
        ("2-2", ("2",)),
        ("1,1-2,1", ("1", "2")),
        ("0009-0011,3", ("0009", "0010", "0011", "3")),
        ("Ses01,take_2,x-y", ("Ses01", "take_2", "x-y")),
    ],
)
def test_numbers_ranges_and_names_are_read_in_order(text: str, sessions: tuple[str, ...]) -> None:
    assert sessions_of(text) == sessions


@pytest.mark.parametrize("text", ["", ",", "1,,2", "1-", "-3", "1--2", "a b", "1\u20135", "1;2", "*", "12345-12346"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(KindError, match="is neither a number, a range nor a name"):
        sessions_of(text)


def test_a_backward_range_is_turned_round_in_the_advice() -> None:
    with pytest.raises(KindError, match=r"sessions '1,5-3': the range '5-3' runs backwards; write 3-5"):
        sessions_of("1,5-3")


@given(st.text(max_size=12))
def test_any_text_gives_names_or_one_error(text: str) -> None:
    try:
        sessions = sessions_of(text)
    except KindError:
        return
    assert sessions
    assert len(set(sessions)) == len(sessions)
    assert all(name and "," not in name for name in sessions)


def test_numbers_are_no_names() -> None:
    assert NUMBERS.read("layers", "9-12, 3") == (9, 10, 11, 12, 3)
    with pytest.raises(KindError, match="layers '1,last': expected numbers and ranges such as 1-5"):
        NUMBERS.read("layers", "1,last")
