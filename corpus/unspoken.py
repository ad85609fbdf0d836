"""Labels of an alignment that are not speech: pauses, which are never units, and fillers, which are unless they are dropped."""

import re

PAUSES = frozenset({"sil", "ssil", "silb", "sile", "sp", "pau", "epi", "h#", "#h", "sent-start", "sent-end"})
"""Names of pauses that are no words, in any brackets or none: MFA, HTK, Kaldi, Julius, Penn, Festival, TIMIT."""

MARKED_PAUSES = frozenset({"silence", "silent", "pause", "eps", "epsilon", "sl", "blank", "break", "gap", "enter", "exit"})
"""Names that are pauses in brackets only: without them they may be words."""

LETTER_PAUSES = frozenset({"<s>", "</s>", "<p>", "<p:>", "{p}", "(p)", "(p:)", "{p:}"})
"""WebMAUS, and the ends of a sentence; the letter alone is a phone."""

PAUSE_WORDS = frozenset({"silence", "pause"})
"""Written without brackets by some aligners, and words that people say."""

SAMPA_SIGNS = frozenset("@{}&?")
"""Phones of SAMPA without a letter: schwa, the vowels of `cat` and `put` in some accents, the glottal stop."""

_BRACKETS = {"<": ">", "[": "]", "{": "}", "(": ")", "_": "_", "*": "*", "=": "=", "!": "", "\\": "", "%": ""}
_MEASURE = re.compile(r"[0-9]+(?:s|ms)?|s|secs?|seconds?|ms|short|long|medium|micro|and|of", re.ASCII)
_ENDS = re.compile(r"^[^\w]+|[^\w]+$")
_PLACE = re.compile(r"(?:_[bies]|_?[0-9]+)$", re.ASCII)


def is_silence(label: str) -> bool:
    """Whether a label is a pause in every alignment: never a unit of any granularity.

    One without a letter or digit of any script is (`_`, `(.)`, `...`, `#`), SAMPA's signs apart. So are the names in `PAUSES`
    in any case, in brackets or not (`[SIL]`, `sp`, `SIL_B`), those in `MARKED_PAUSES` in brackets (`<pause>`, `[silence]`), and
    a time in brackets (`(0.5)`, `[pause 1.2 s]`).
    """
    label = label.strip().casefold()
    if not any(character.isalnum() for character in label):
        return not SAMPA_SIGNS & set(label)
    if label in PAUSES or label in LETTER_PAUSES:
        return True
    core = _PLACE.sub("", _ENDS.sub("", label).strip("_"))
    if core in PAUSES:
        return True
    closing = _BRACKETS.get(label[0])
    if closing is None or not label.endswith(closing):
        return False
    words = re.findall(r"[^\W_]+", label)
    named = [word for word in words if not _MEASURE.fullmatch(word)]
    timed = any(word[0] in "0123456789" for word in words)
    return all(word in MARKED_PAUSES or word in PAUSES for word in named) and (bool(named) or timed)


def is_pause_word(label: str) -> bool:
    """Whether a label is the name of a pause that may also be a word: `silence`, `pause`."""
    return _ENDS.sub("", label.strip().casefold()) in PAUSE_WORDS


def is_filler(label: str) -> bool:
    """Whether a label is non-speech that may carry emotion: `++LAUGHTER++`, `+BREATH+`, `[NOISE]`, `<usb>`, `{LG}`, `spn`."""
    label = label.strip()
    if is_silence(label):
        return False
    if label.lower() == "spn":
        return True
    return len(label) > 2 and (label[0], label[-1]) in {("+", "+"), ("[", "]"), ("<", ">"), ("{", "}")}
