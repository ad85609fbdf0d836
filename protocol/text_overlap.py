"""Which sentences recur between sessions, so that a text branch may have seen a test sentence in training."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

TAG = re.compile(r"\[[^\[\]]*\]")
APOSTROPHES = frozenset("'\u2019\u02bc`")


@dataclass(frozen=True, kw_only=True)
class Recurring:
    """How many utterances of a set say what is also said in another session."""

    utterances: int
    """All of them, those without words included."""
    recurring: int
    """Those whose normalised text occurs in another session."""

    @property
    def share(self) -> float:
        """`recurring` as a share of `utterances`; 0 where there are none."""
        return self.recurring / self.utterances if self.utterances else 0.0


@dataclass(frozen=True, kw_only=True)
class TextOverlap:
    """What leaving one session out does not leave out."""

    all: Recurring
    """Every utterance."""
    styles: dict[str, Recurring]
    """Improvised and scripted utterances on their own. A text counts wherever it recurs, whatever the style there."""
    sessions: dict[str, Recurring]
    """Utterances of each session on their own, by its name: what of a test session is also said in training."""


@lru_cache(maxsize=100_000)  # a table asks for the same few thousand texts once per fold and seed
def normalised_text(text: str) -> str:
    """The words of a transcript: what two utterances must have in common to be the same sentence.

    Unicode NFKC, case folded, bracketed remarks such as `[LAUGHTER]` dropped, apostrophes dropped (`don't` is
    one word), every other character that is no letter, mark or digit taken as white space, white space collapsed.

    Args:
        text: a transcript as written. One without words gives an empty string.
    """
    found, tags = text, 1
    while tags:  # innermost brackets first
        found, tags = TAG.subn(" ", found)
    folded = unicodedata.normalize("NFKC", found).casefold()
    kept = (each if unicodedata.category(each)[0] in "LMN" else " " for each in folded if each not in APOSTROPHES)
    return " ".join("".join(kept).split())


def shared_texts(texts: Sequence[str], train_rows: Rows, test_rows: Rows) -> Rows:
    """The rows of `train_rows` whose normalised text occurs among `test_rows`; texts without words never match.

    Args:
        texts: transcript of each row of the corpus.
        train_rows: rows to choose from; their order is kept.
        test_rows: rows that decide.
    """
    heard = {normalised_text(texts[row]) for row in test_rows.tolist()} - {""}
    return np.array([row for row in train_rows.tolist() if normalised_text(texts[row]) in heard], dtype=np.int64)


def text_overlap(sessions: Sequence[str], texts: Sequence[str], styles: Sequence[str]) -> TextOverlap:
    """Count test utterances whose text recurs in a session other than their own.

    With one session left out at a time every utterance is a test utterance once, so these are the shares of test
    utterances whose text is also among the training utterances.

    Args:
        sessions: session of each utterance.
        texts: transcript of each utterance.
        styles: `improvised`, `scripted` or empty, one per utterance.

    Raises:
        ValueError: the three differ in length.
    """
    said: dict[str, set[str]] = {}
    rows = [(session, normalised_text(text), style) for session, text, style in zip(sessions, texts, styles, strict=True)]
    for session, text, _ in rows:
        said.setdefault(text, set()).add(session)
    recurs = [(session, style, bool(text) and len(said[text]) > 1) for session, text, style in rows]

    def count(chosen: Sequence[bool]) -> Recurring:
        return Recurring(utterances=len(chosen), recurring=sum(chosen))

    return TextOverlap(
        all=count([again for _, _, again in recurs]),
        styles={name: count([again for _, style, again in recurs if style == name]) for name in sorted(set(styles) - {""})},
        sessions={name: count([again for each, _, again in recurs if each == name]) for name in dict.fromkeys(sessions)},
    )
