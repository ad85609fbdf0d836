"""Which sessions of a corpus are meant: `1-5`, `1,3-5`, or names."""

import re

from mer.corpus.utterance import CorpusError

_RANGE = re.compile(r"([0-9]{1,4})-([0-9]{1,4})")
_NAME = re.compile(r"(?![0-9]+-[0-9-]*$)\w(?:[\w.+-]*\w)?")  # not a range with something wrong


def parse_sessions(text: str) -> tuple[str, ...]:
    """Read a list of sessions, in the order given, each once: `1,3-5` is `1`, `3`, `4`, `5`.

    Args:
        text: numbers, ranges of numbers with both ends included, and names, separated by commas.

    Raises:
        CorpusError: if an item is empty, a backward or open range, or no name.
    """
    sessions: dict[str, None] = {}
    for item in text.split(","):
        item = item.strip()
        ends = _RANGE.fullmatch(item)
        if ends:
            first, last = int(ends[1]), int(ends[2])
            if first > last:
                raise CorpusError(f"sessions {text!r}: the range {item!r} runs backwards; write {last}-{first}")
            sessions.update(dict.fromkeys(str(number) for number in range(first, last + 1)))
        elif _NAME.fullmatch(item):
            sessions[item] = None
        else:
            raise CorpusError(
                f"sessions {text!r}: {item!r} is neither a number, a range nor a name; expected something like 1-5 or 1,3-5"
            )
    return tuple(sessions)
