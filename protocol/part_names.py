"""Which part of a corpus' own partition a word means: `Train`, `validation`, `Test1`."""

import re
from collections.abc import Iterable

TRAIN, DEV, TEST = "train", "dev", "test"
"""The parts; a corpus may have several test parts, each under its own name."""
SPELLINGS = (
    (TRAIN, re.compile(r"tr(n|ain(ing)?)?")),
    (DEV, re.compile(r"dev(el|elopment)?|val(id|idation)?|cv")),
    (TEST, re.compile(r"te?st(ing)?")),
)
EXPECTED = "train (training), dev (development, val, valid, validation) and test (testing, test1, test-clean, eval, evaluation)"


def part_names(words: Iterable[str]) -> dict[str, str] | None:
    """Each word of a split column with the part that it means; None where one of them means no part.

    A word counts without case, outer spaces, and what follows after a `-`, `_`, blank or digit, except that test parts keep
    it: `train-clean-100` is `train`, `Test1` is `test1`. `eval` and `evaluation` choose the epoch where a test part is beside
    them and no dev part; otherwise they are a test part.

    Args:
        words: all that occur; the empty word is no part and is left out of the answer.
    """
    found = {word: _part(word) for word in sorted(set(words)) if word.strip()}
    evaluation = [word for word, part in found.items() if part.startswith("eval")]
    others = {part[: len(TEST)] for word, part in found.items() if word not in evaluation}
    if TEST in others and DEV not in others:
        found |= dict.fromkeys(evaluation, DEV)
    return None if "" in found.values() else found


def is_test(part: str) -> bool:
    """Whether it is a test part."""
    return part not in (TRAIN, DEV)


def _part(word: str) -> str:
    plain = word.strip().casefold()
    stem = re.match(r"[^\W\d_]*", plain)
    first = stem[0] if stem else ""
    if first in ("eval", "evaluation"):
        return plain
    for part, spelling in SPELLINGS:
        if spelling.fullmatch(first):
            return part + plain[len(first) :] if part == TEST else part
    return ""
