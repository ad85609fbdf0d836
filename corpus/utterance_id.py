"""Utterance ids of IEMOCAP: `Ses01F_impro01_M000` is turn 000 of the man in a recording of session 1.

The first F or M says who wears the motion-capture markers, the last one who speaks.
"""

import re
from dataclasses import dataclass

_ID = re.compile(r"(Ses([0-9]{2})[FM]_(impro|script)[0-9]{2}[ab]?(?:_[0-9][ab]?)?)_([FM])([0-9]{3}|XX[0-9])", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceId:
    """What an id says."""

    dialogue: str
    """The recording: the id without its last field."""
    session: str
    """`1` to `5`."""
    style: str
    """`improvised` or `scripted`."""
    speaker: str
    """Session and LAST letter, `1M`: one of ten people."""
    track: str
    """Dialogue and speaker letter, `Ses01F_impro01_M`: its turns are numbered from 000 without gaps."""
    number: int | None
    """Place in the track; None for turns without label and audio, such as `FXX0`."""


def parse_utterance_id(text: str) -> UtteranceId | None:
    """Take an id apart; None when it is no id of IEMOCAP."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    dialogue, session, style, letter, number = match.groups()
    session = str(int(session))
    return UtteranceId(
        dialogue=dialogue,
        session=session,
        style="improvised" if style == "impro" else "scripted",
        speaker=session + letter,
        track=f"{dialogue}_{letter}",
        number=None if number.startswith("XX") else int(number),
    )
