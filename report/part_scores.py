"""UA of parts of the test utterances: sessions, speakers, durations, styles, genders, numbers of votes, any column."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mer.report.utterance_facts import Facts, UtteranceFacts
from mer.results.run_files import PredictionRow

DURATIONS = (2.0, 4.0, 8.0)
"""Seconds between the duration parts."""


@dataclass(frozen=True, kw_only=True)
class PartScore:
    """UA of one head on one part."""

    part: str
    """Such as a speaker."""
    ua: float
    """Mean of the recalls of the classes that the part has, of 1."""
    utterances: int
    """How many it has."""
    classes: int
    """How many classes it has; UA of fewer is not comparable."""


def part_scores(predictions: Sequence[PredictionRow], part_of: Mapping[str, str]) -> tuple[PartScore, ...]:
    """UA of each part, UA = mean over classes of sum_s hits_cs / sum_s n_cs; all seeds of an utterance count alike.

    Args:
        predictions: of one head, all seeds.
        part_of: utterance id to its part; utterances without one are left out.
    """
    sizes: Counter[tuple[str, str]] = Counter()
    hits: Counter[tuple[str, str]] = Counter()
    members: dict[str, set[str]] = {}
    for each in predictions:
        part = part_of.get(each.id)
        if part:
            sizes[part, each.label] += 1
            hits[part, each.label] += each.prediction == each.label
            members.setdefault(part, set()).add(each.id)
    scores = []
    for part, ids in members.items():
        recalls = [hits[key] / count for key, count in sizes.items() if key[0] == part]
        ua = sum(recalls) / len(recalls)
        scores.append(PartScore(part=part, ua=ua, utterances=len(ids), classes=len(recalls)))
    return tuple(scores)


def duration_part(seconds: float) -> str:
    """`2-4 s`: the part that a duration belongs to, lower end included."""
    below = [edge for edge in DURATIONS if edge <= seconds]
    if not below:
        return f"< {DURATIONS[0]:g} s"
    if len(below) == len(DURATIONS):
        return f"≥ {DURATIONS[-1]:g} s"
    return f"{below[-1]:g}-{DURATIONS[len(below)]:g} s"


DURATION_PARTS = tuple(duration_part(edge) for edge in (0.0, *DURATIONS))
LETTERS = {"F": "female", "M": "male"}
"""Last letter of a speaker of IEMOCAP, such as 1F, to what it says."""


def column_of(facts: UtteranceFacts, *names: str) -> str:
    """The value of the first column that there is, whatever its spelling in upper or lower case; empty for none."""
    there = {name.casefold(): value for name, value in facts.columns.items()}
    return next((there[name.casefold()] for name in names if name.casefold() in there), "")


def _gender(facts: UtteranceFacts) -> str:
    said = column_of(facts, "gender", "sex")
    iemocap = len(facts.speaker) == 2 and facts.speaker[0] == facts.session and facts.speaker[0].isdigit()
    return said or (LETTERS.get(facts.speaker[1], "") if iemocap else "")


PARTS: Mapping[str, Callable[[UtteranceFacts], str]] = {
    "session": lambda facts: facts.session,
    "speaker": lambda facts: facts.speaker,
    "duration": lambda facts: "" if facts.seconds is None else duration_part(facts.seconds),
    "style": lambda facts: facts.style,
    "gender": _gender,
    "votes": lambda facts: column_of(facts, "votes"),
}
"""How the test utterances are divided: name to what part an utterance belongs to, empty where that is unknown."""


def parts_of(facts: Facts, division: str) -> dict[str, str]:
    """Utterance id to its part, for one of `PARTS` or a column of the corpus; empty where that is unknown."""
    part = PARTS.get(division) or (lambda each: column_of(each, division))
    return {name: part(each) for name, each in facts.items()}


def part_order(parts: Sequence[str]) -> list[str]:
    """Durations by length, numbers by size, anything else by name."""
    if set(parts) <= set(DURATION_PARTS):
        return [part for part in DURATION_PARTS if part in parts]
    return sorted(set(parts), key=_size)


def _size(part: str) -> tuple[float, str]:
    try:
        return float(part), part
    except ValueError:
        return float("inf"), part
