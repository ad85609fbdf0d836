"""IEMOCAP's `dialog/EmoEvaluation/<dialogue>.txt`: the label that most raters gave to each utterance."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mer.corpus.text_file import read_lines
from mer.corpus.utterance import Problem
from mer.corpus.utterance_id import parse_utterance_id

LABELS = frozenset({"ang", "hap", "exc", "sad", "neu", "fru", "fea", "sur", "dis", "oth", "xxx"})
"""The codes of the release; `xxx` means that no majority was found."""
CATEGORIES: Mapping[str, str] = {
    "Anger": "ang",
    "Happiness": "hap",
    "Excited": "exc",
    "Sadness": "sad",
    "Neutral": "neu",
    "Frustration": "fru",
    "Fear": "fea",
    "Surprise": "sur",
    "Disgust": "dis",
    "Other": "oth",
}
"""The word that raters chose to the code of the release."""

# `[6.2901 - 8.2357]<TAB>Ses01F_impro01_F000<TAB>neu<TAB>[2.5000, 2.5000, 2.5000]`; an attribute may be missing.
_SUMMARY = re.compile(r"\[\s*[0-9.]+\s*-\s*[0-9.]+\s*\]\s+(\S+)\s+(\w+)(?:\s+\[(.*))?", re.ASCII)
_NUMBER = r"\s*([0-9]+(?:\.[0-9]+)?)\s*"
_ATTRIBUTES = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER}\]", re.ASCII)
# `C-E2:<TAB>Neutral; Anger;<TAB>(remark)`. Not `C-F1`: an actor's report of themselves is in no majority.
_RATER = re.compile(r"C-E[0-9]+:\s*([^()]*?)\s*(?:\(.*)?", re.ASCII)
_MENTIONS_ID = re.compile(r"Ses[0-9]{2}[FM]_", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelLine:
    """The summary line of one utterance."""

    id: str
    label: str
    """One of `LABELS`, as written."""
    attributes: tuple[float, float, float] | None
    """Valence, activation, dominance, mean of the raters on a scale of 1 to 5; None unless all three are there."""
    votes: Mapping[str, int]
    """Label to the number of raters who chose it; one rater may choose several."""
    path: Path
    line: int
    """Counted from 1."""

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.path}:{self.line}"


def read_emo_evaluation(path: Path) -> tuple[list[LabelLine], list[Problem]]:
    """Read the summary lines of a file, each with the categories that the raters below it chose.

    A line that is meant as a summary but malformed, a rater's word that is no category, and a file without any summary are
    problems.

    Raises:
        CorpusError: if the file cannot be read.
    """
    labels: list[LabelLine] = []
    problems: list[Problem] = []
    for number, line in enumerate(read_lines(path), start=1):
        line = line.strip()
        if labels and (rater := _RATER.fullmatch(line)):
            labels[-1], found = _with_votes(labels[-1], rater[1], f"{path}:{number}")
            problems += found
            continue
        if line.startswith("%") or not (line.startswith("[") or _MENTIONS_ID.search(line)):
            continue
        match = _SUMMARY.fullmatch(line)
        if match and parse_utterance_id(match[1]):
            attributes = _attributes(match[3])
            labels.append(LabelLine(id=match[1], label=match[2], attributes=attributes, votes={}, path=path, line=number))
        else:
            problems.append(
                Problem(
                    kind="malformed label line",
                    where=f"{path}:{number}",
                    message=f"expected `[start - end] utterance label [V, A, D]`, got {line[:80]!r}",
                )
            )
    if not labels:
        problems.append(
            Problem(
                kind="file without labels",
                where=str(path),
                message="no summary line `[start - end] utterance label [V, A, D]` in the whole file",
            )
        )
    return labels, problems


def _with_votes(label: LabelLine, chosen: str, where: str) -> tuple[LabelLine, list[Problem]]:
    """An utterance with one rater's categories added."""
    words = [word.strip() for word in chosen.split(";") if word.strip()]
    odd = [word for word in words if word not in CATEGORIES]
    message = f"a rater's {', '.join(map(repr, odd))} is none of {', '.join(CATEGORIES)}, and not counted"
    votes = Counter(label.votes) + Counter({CATEGORIES[word] for word in words if word not in odd})
    problems = [Problem(kind="unknown category", where=where, message=message)] if odd else []
    return replace(label, votes=dict(votes)), problems


def _attributes(text: str | None) -> tuple[float, float, float] | None:
    match = _ATTRIBUTES.fullmatch((text or "").strip())
    return (float(match[1]), float(match[2]), float(match[3])) if match else None
