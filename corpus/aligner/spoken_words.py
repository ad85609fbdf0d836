"""From a transcript to what an aligner can look for: plain words, and tags that become fillers."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.number_words import number_words

_SYMBOLS = {"&": "and", "%": "percent", "+": "plus", "@": "at", "=": "equals"}
_NUMBER = re.compile(r"([0-9]+)(s|st|nd|rd|th)?")
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u00b4": "'", "`": "'", "\u2010": "-", "\u2011": "-"})
_GROUPED = re.compile(r"(?<![0-9,])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9])((?:s|st|nd|rd|th)(?![a-z]))?")
_DECIMALS = re.compile(r"(?<=[0-9])\.([0-9]+)")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One word or filler, in the order of the transcript."""

    label: str
    """A word in lower case, ASCII letters and apostrophes as its dictionary has it; or a tag, `[LAUGHTER]`."""
    is_tag: bool
    """A bracketed remark: something that is heard, but no word."""


def spoken_words(text: str, known: Callable[[str], bool]) -> tuple[Spoken, ...]:
    """Read a transcript as a speaker would.

    Bracketed remarks are fillers (nested ones whole, as in `remove_tags`). Accents go (`café` -> cafe), numbers are
    written out (decimals one by one), `& % + @ =` are said, all other marks are silent. A hyphenated word that the
    dictionary does not have is several words, and so is a fragment's head (`maybe-`).

    Args:
        text: as the corpus has it.
        known: whether the dictionary has a word (lower case).

    Raises:
        AlignError: letters that are not Latin, or num2words is not installed.
    """
    return tuple(spoken for piece, is_tag in cut_at_tags(text) for spoken in _spoken(piece, is_tag, known))


def tags_by_place(spoken: Sequence[Spoken]) -> list[list[str]]:
    """The labels of the tags before each word, and after the last one: one list more than words."""
    places: list[list[str]] = [[]]
    for one in spoken:
        if one.is_tag:
            places[-1].append(one.label)
        else:
            places.append([])
    return places


def tag_label(piece: str) -> str:
    """The unit that a bracketed remark is: `[breath out]` -> `[BREATH_OUT]`; empty where no letter is in it."""
    name = "_".join(re.findall(r"\w+", piece)).upper()
    return name and f"[{name}]"


def cut_at_tags(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces of a transcript, and whether each is a tag: an outermost pair of brackets with what is in it.

    A bracket without its partner is a mark like others.
    """
    openings: list[int] = []
    pairs: list[tuple[int, int]] = []
    for position, character in enumerate(text):
        if character == "[":
            openings.append(position)
        elif character == "]" and openings:
            start = openings.pop()
            pairs = [pair for pair in pairs if pair[0] < start]
            pairs.append((start, position + 1))
    end = 0
    for start, stop in pairs:
        yield text[end:start], False
        yield text[start:stop], True
        end = stop
    yield text[end:], False


def _spoken(piece: str, is_tag: bool, known: Callable[[str], bool]) -> Iterator[Spoken]:
    if is_tag:
        if label := tag_label(piece):
            yield Spoken(label, True)
        return
    plain = _DECIMALS.sub(lambda found: f" point {' '.join(found[1])}", piece.translate(_APOSTROPHES).lower())
    plain = _GROUPED.sub(_grouped, plain)
    for symbol, word in _SYMBOLS.items():
        plain = plain.replace(symbol, f" {word} ")
    # NFKD last: it turns an ellipsis into three dots and a ligature into its letters.
    folded = unicodedata.normalize("NFKD", plain)
    for token in "".join(c for c in folded if not unicodedata.combining(c)).split():
        yield from (Spoken(word, False) for word in _words(token, known))


def _grouped(found: re.Match[str]) -> str:
    return f" {' '.join(number_words(found[1].replace(',', ''), ending=found[2] or '', is_grouped=True))} "


def _words(token: str, known: Callable[[str], bool]) -> Iterator[str]:
    foreign = next((c for c in token if c.isalpha() and not c.isascii()), None)
    if foreign is not None:
        raise AlignError(
            f"{token[:40]!r} holds {foreign!r}, which is no Latin letter; the aligner speaks English only: "
            "give TextGrids of another aligner instead"
        )
    whole = re.sub(r"[^a-z0-9'.-]", "", token)
    for form in (whole, whole.strip("-"), whole.strip(".-"), whole.strip("'.-")):
        if any(c.isalpha() for c in form) and known(form):
            yield form
            return
    for part in re.split(r"[^a-z0-9']+", token):
        for run in re.findall(r"[0-9]+(?:s|st|nd|rd|th)?(?![a-z0-9])|[0-9]+|[a-z']+", part):
            yield from _run(run, known)


def _run(run: str, known: Callable[[str], bool]) -> Iterator[str]:
    number = _NUMBER.fullmatch(run)
    if number:
        yield from number_words(number[1], ending=number[2] or "")
        return
    word = run if known(run) else run.strip("'")
    if any(c.isalpha() for c in word):
        yield word
