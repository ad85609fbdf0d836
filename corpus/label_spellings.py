"""Labels that say there is none, and spellings of labels that look like one another."""

import re
from collections.abc import Mapping

NO_LABEL = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "-1", "-1.0", "-", "?", "unlabelled", "unlabeled"})
"""What tables write where nobody gave a label."""
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_PUNCTUATION = re.compile(r"(^-(?=\d)|(?<=\d)[\W_]+(?=\d))|[\W_]+")
CODE_LETTERS = 3
"""Letters of the codes that IEMOCAP made common: `hap` for `happy`."""


def is_no_label(label: object) -> bool:
    """Whether a cell says that there is no label."""
    return label is None or (isinstance(label, float) and label != label) or str(label).strip().casefold() in NO_LABEL


def one_spelling(counts: Mapping[str, int], *, labels: bool = True) -> dict[str, str]:
    """Each label that is written in another way elsewhere, and the way that is taken for it: the commonest.

    Case, spaces and punctuation make no other label (but `-2` is not `2`, nor `1.5` `15`), nor does a code of three letters
    beside the one word that begins with it.

    Args:
        counts: utterances of each label.
        labels: False for names of speakers or sessions, in which no code stands for a word and 01 is 1.
    """
    groups: dict[str, list[str]] = {}
    for label in counts:
        groups.setdefault(_plain(label if labels else _ZEROS.sub("", label)) or label, []).append(label)
    for code in [key for key in groups if labels and len(key) == CODE_LETTERS and key.isalpha()]:
        words = [key for key in groups if key != code and key.startswith(code) and key.isalpha()]
        if len(words) == 1:
            groups[words[0]] += groups.pop(code)
    return {
        label: taken
        for labels in groups.values()
        for taken in [min(labels, key=lambda each: (len(each) == CODE_LETTERS, -counts[each], each))]
        for label in labels
        if label != taken
    }


def look_alikes(counts: Mapping[str, int], *, labels: bool = True) -> list[str]:
    """Groups of labels, or other names, that look like spellings of one, in words: `Happy 3, hap 1, happy 20`."""
    groups: dict[str, set[str]] = {}
    for label, taken in one_spelling(counts, labels=labels).items():
        groups.setdefault(taken, {taken}).add(label)
    return [", ".join(f"{label!r} {counts[label]:,}" for label in sorted(group)) for group in groups.values()]


def _plain(name: str) -> str:
    return _PUNCTUATION.sub(lambda run: "." if run[1] else "", name.casefold())
