"""What the page's script reads: utterances and answers as compact JSON that no transcript can break out of."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mer.cache.granularity import unit_of
from mer.files.shown_text import shown
from mer.report.run_group import RunGroup
from mer.report.utterance_answers import MeanAnswer, mean_answers
from mer.report.utterance_facts import Facts, UtteranceFacts

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""One character per peak, and per five bits of `packed`."""
TOP = 99
"""Largest peak of `UtteranceFacts`."""


def page_data(group: RunGroup, facts: Facts) -> dict[str, Any]:
    """Classes, heads, and every test utterance with what each head says.

    Probabilities are per mille, times are hundredths of a second. Segments are flat lists, as a corpus has half a million: of
    words label, pause before it and length; of syllables the same with the number of its label; of phones the number of its label
    and the time since the one before began; the last two `packed`. Syllables are there where some head reads them.

    Args:
        group: the rows; those with predictions become heads of the browser.
        facts: of the utterances, as far as known; sessions are the folds otherwise.
    """
    runs = [run for run in group.runs if run.predictions]
    answers = {run.name: mean_answers(run.predictions, group.classes) for run in runs}
    number = {name: place for place, name in enumerate(group.classes)}
    found: dict[str, MeanAnswer] = {}
    for of_head in answers.values():
        for name, answer in of_head.items():
            found.setdefault(name, answer)
    phones: dict[str, int] = {}
    syllables: dict[str, int] | None = {} if reads_syllables(group) else None
    utterances = []
    for name, first in found.items():
        known = facts.get(name) or UtteranceFacts(id=name, session=first.fold)
        row = _utterance(known, phones, syllables) | {"l": number[first.label]}
        row["h"] = [_shares(of_head.get(name)) for of_head in answers.values()]
        row["r"] = [_right(of_head.get(name)) for of_head in answers.values()]
        utterances.append(row)
    utterances.sort(key=lambda row: str(row["i"]))
    heads = [run.name for run in runs]
    looks = [group.looks[name].number for name in heads]
    return {
        "classes": list(group.classes),
        "heads": heads,
        "looks": looks,
        "phones": list(phones),
        "syllables": list(syllables or ()),
        "utterances": utterances,
    }


def reads_syllables(group: RunGroup) -> bool:
    """Whether some row reads syllables."""
    branches = [name for run in group.runs for name in run.result.get("branches") or run.config.get("branches") or ()]
    return any(unit_of(name) == "S" for name in branches)


def _utterance(facts: UtteranceFacts, phones: dict[str, int], syllables: dict[str, int] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"i": visible(facts.id), "s": visible(facts.session)}
    optional: Mapping[str, Any] = {
        "k": visible(facts.speaker),
        "y": visible(facts.style),
        "t": None if facts.text is None else visible(facts.text),
        "d": None if facts.seconds is None else _hundredths(facts.seconds),
        "w": _words(facts.words),
        "z": "" if syllables is None else packed(_numbered(_words(facts.syllables), syllables)),
        "f": packed(_phones(facts.phones, phones)),
        "p": "".join(BASE64[round(peak * 63 / TOP)] for peak in facts.peaks),
        "a": facts.audio,
    }
    return row | {key: value for key, value in optional.items() if value not in (None, "", [])}


def _words(words: Sequence[tuple[str, float, float]]) -> list[str | int]:
    found: list[str | int] = []
    time = 0
    for word, start, end in words:
        found += [visible(word), _hundredths(start) - time, _hundredths(end) - _hundredths(start)]
        time = _hundredths(end)
    return found


def _numbered(segments: Sequence[str | int], known: dict[str, int]) -> list[int]:
    """What `_words` gives, with a number for each label."""
    return [known.setdefault(each, len(known)) if isinstance(each, str) else each for each in segments]


def packed(numbers: Sequence[int]) -> str:
    """Whole numbers in about half of the characters that JSON has for them.

    Each is written in base 32 from its lowest digit, with 32 added to every digit that another follows; n >= 0 counts as 2n,
    n < 0 as -2n - 1.
    """
    found = []
    for number in numbers:
        left = 2 * number if number >= 0 else -2 * number - 1
        while left >= 32:
            found.append(BASE64[32 + left % 32])
            left //= 32
        found.append(BASE64[left])
    return "".join(found)


def _phones(phones: Sequence[tuple[str, float, float]], known: dict[str, int]) -> list[int]:
    found = []
    time = 0
    for phone, start, _ in phones:
        found += [known.setdefault(visible(phone), len(known)), _hundredths(start) - time]
        time = _hundredths(start)
    return found


def visible(text: str) -> str:
    """The text on one line, and as `shown` has it: marks that reverse what follows would reach beyond the transcript."""
    return shown(re.sub(r"[\t\n\r]+", " ", text))


def script_json(data: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _shares(answer: MeanAnswer | None) -> Sequence[int] | None:
    return None if answer is None else [round(1000 * share) for share in answer.probabilities]


def _right(answer: MeanAnswer | None) -> str | None:
    return None if answer is None else f"{answer.right}/{answer.seeds}"


def _hundredths(seconds: float) -> int:
    return round(100 * seconds)
