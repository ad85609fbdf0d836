"""How the words are said that the dictionary lacks: as the speech synthesiser espeak-ng says them."""

import ctypes
import re
import threading
from collections.abc import Callable
from functools import cache

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.extra_package import extra_package
from mer.corpus.arpabet import to_arpabet
from mer.corpus.espeak_library import EspeakLibrary, load_espeak
from mer.corpus.espeak_phones import SPHINX
from mer.corpus.utterance import CorpusError

SHORTEST_STEM = 4
"""Letters: shorter beginnings are in too many words that have nothing to do with them (`car` in `carpet`)."""
_VOICE = b"en-us"
_PLAIN_LETTERS, _SLASHES = 1, ord("/") << 8
_HUM = re.compile(r"[bgpt]?(?:sh|[fhmnrsz])+[kpt]?")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_DRAWN_OUT_AT_END = re.compile(r"(.)\1{2,}$")
_one_at_a_time = threading.Lock()

Lookup = Callable[[str], tuple[str, ...] | None]
"""The phones of a word as the dictionary has them, or None."""


def say_unknown_word(word: str, lookup: Lookup) -> tuple[str, ...]:
    """The phones of a word that the dictionary lacks.

    What is hummed or hissed (`mmhmm`, `psst`) is its letters' sounds, and a word that is drawn out (`nooo`) is the word
    without the repeated letters. Everything else is as espeak-ng's American voice says it; where the dictionary has the
    word's beginning, and espeak-ng says that in the same way alone, the beginning is as the dictionary has it. Against
    4,000 words of the dictionary hidden from this: 9 % of the phones wrong, 10 % by espeak-ng alone.

    Args:
        word: lower case, ASCII letters and apostrophes, at least one letter.
        lookup: the dictionary.

    Returns:
        ARPAbet phones without stress, at least one.

    Raises:
        AlignError: the package espeakng-loader is not installed or does not start, or the word has no known sound.
    """
    return _hum(word) or _drawn_out(word, lookup) or _said(word, lookup)


def espeak_version() -> str:
    """Which espeak-ng says the words; raises AlignError if there is none."""
    with _one_at_a_time:
        return _engine().version


def _hum(word: str) -> tuple[str, ...]:
    once = re.sub(r"(.)\1+", r"\1", word)
    if once == word or not _HUM.fullmatch(once):
        return ()
    return tuple("HH" if sound == "h" else str(sound).upper() for sound in re.findall("sh|.", once))


def _drawn_out(word: str, lookup: Lookup) -> tuple[str, ...]:
    """`sooo` is `so`, `goood` is `good`: what ends a word is tried once first, what is inside it twice."""
    if not _DRAWN_OUT.search(word):
        return ()
    short = _DRAWN_OUT.sub(r"\1", word)
    forms = (_DRAWN_OUT.sub(r"\1\1", _DRAWN_OUT_AT_END.sub(r"\1", word)), _DRAWN_OUT.sub(r"\1\1", word), short)
    return next((phones for form in forms if (phones := lookup(form))), None) or _said(short, lookup)


def _said(word: str, lookup: Lookup) -> tuple[str, ...]:
    whole = _phones(word)
    for cut in range(len(word) - 1, SHORTEST_STEM - 1, -1):
        stem = lookup(word[:cut])
        if stem:
            alone = _phones(word[:cut])
            if whole[: len(alone)] == alone:
                return stem + whole[len(alone) :]
    return whole


def _phones(word: str) -> tuple[str, ...]:
    """As espeak-ng says it."""
    phones: list[str] = []
    for name in _phonemes(word):
        if name not in SPHINX:
            raise AlignError(
                f"espeak-ng says the word {word!r} with a sound {name!r} that the aligner lacks: write the word otherwise"
            )
        for phone in map(to_arpabet, SPHINX[name]):
            # "there is" is spoken D e@ r: the r is the one already in EH R
            if not (phone == "R" and phones and phones[-1] in ("R", "ER")):
                phones.append(phone)
    if not phones:
        raise AlignError(f"espeak-ng says nothing for the word {word!r}: write the word otherwise")
    return tuple(phones)


def _phonemes(word: str) -> list[str]:
    """espeak-ng's mnemonics without stress marks and pauses."""
    text = ctypes.create_string_buffer(re.sub("'+", "'", word).encode())
    place = ctypes.c_void_p(ctypes.addressof(text))
    said: list[str] = []
    with _one_at_a_time:
        functions = _engine().functions
        while place.value is not None:  # clause by clause; what is not asked for would be said before the next word
            said.append(functions.espeak_TextToPhonemes(ctypes.byref(place), _PLAIN_LETTERS, _SLASHES).decode())
    names = (name.lstrip("',%=|") for name in re.split("[/ ]+", " ".join(said)))
    return [name for name in names if name and not name.startswith("_")]


@cache
def _engine() -> EspeakLibrary:
    """One for the whole process, which nothing else uses and whose voice never changes."""
    try:
        espeak = load_espeak(extra_package("espeakng_loader"))
    except CorpusError as error:
        raise AlignError(str(error)) from error
    if espeak.functions.espeak_SetVoiceByName(_VOICE) != 0:
        raise AlignError("espeak-ng has no American voice; install its data again: pip install --force-reinstall espeakng-loader")
    espeak.functions.espeak_TextToPhonemes.restype = ctypes.c_char_p
    espeak.functions.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
    return espeak
