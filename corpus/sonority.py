"""Syllables of phones other than ARPAbet: vowels are nuclei, onsets rise in sonority towards them (Selkirk, 1984)."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from mer.corpus.arpabet import PHONES, VOWELS, to_arpabet
from mer.corpus.unspoken import is_filler

IPA_VOWELS = frozenset("aeiouyæœøɐɑɒɔɘəɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏᵻᵿ")
SAMPA_VOWELS = frozenset("AEIOUVQMY@{}&1236789")
"""What SAMPA and X-SAMPA have beside the small letters of IPA; `4` and `5` are consonants."""
SYLLABIC = re.compile("[\u0329\u030d=]")
"""Marks of a consonant that is a nucleus: below or above the letter in IPA, `n=` or `=n` in SAMPA."""
_CLASSES = (
    "fvszʃʒθðxɣhɦçʝɸβʂʐɕʑχħʕɬɮSZTDCXGB",
    "mnɱɲɳŋɴNJF",
    "lrɹɾɻʁʀɫɭʎʟɽɺRL45",
    "jwɥɰ",
)
_SONORITY = {letter: rank for rank, letters in enumerate(_CLASSES, start=1) for letter in letters}
"""Fricatives, nasals, liquids, glides; stops and affricates are 0."""
_NEVER_ALONE = frozenset("ŋN")
_TONED = re.compile(r"[a-zü]+[1-5]")
_TIMIT_NUCLEI = frozenset({"ax-h", "ux", "el", "em", "en", "eng"})
_LOWER_VOWELS = frozenset(vowel.lower() for vowel in VOWELS | {"AX", "AXR", "IX"}) | _TIMIT_NUCLEI
_ALSO_IPA = frozenset({"aw", "ow"})
"""What of them MFA's IPA has as well."""


def is_arpabet(phones: Sequence[str]) -> bool:
    """Whether most phones, fillers apart, are ARPAbet; the few others count as consonants then."""
    spoken = [phone for phone in phones if not is_filler(phone)]
    return 2 * sum(to_arpabet(phone) in PHONES for phone in spoken) >= len(spoken)


def syllabify_by_sonority(phones: Sequence[str]) -> list[tuple[int, int]]:
    """Split the phones of one word into syllables, as `syllabify` does for ARPAbet.

    Of the consonants between two nuclei those go to the right one that rise in sonority towards it, with an `s` before a
    stop; one consonant alone always does, except the velar nasal. A symbol that is not known counts as a stop.
    """
    if not phones:
        return []
    lower = any(_TONED.fullmatch(phone) or (phone in _LOWER_VOWELS and phone not in _ALSO_IPA) for phone in phones)
    nuclei = [place for place, phone in enumerate(phones) if _is_nucleus(phone, lower=lower)]
    starts = [0, *(right - _onset(phones[left + 1 : right]) for left, right in pairwise(nuclei))]
    return list(zip(starts, [*starts[1:], len(phones)], strict=True))


def _is_nucleus(phone: str, *, lower: bool) -> bool:
    """Whether a phone can carry a syllable; where names are whole words in small letters, `y` is a consonant."""
    if phone in _TIMIT_NUCLEI or to_arpabet(phone) in VOWELS or _TONED.fullmatch(phone):
        return True
    if SYLLABIC.search(unicodedata.normalize("NFD", phone)):
        return True
    letter = _letter(phone)
    return letter in SAMPA_VOWELS or (letter in IPA_VOWELS and not (lower and letter == "y"))


def _letter(phone: str) -> str:
    """The first sign that is a sound: no stress mark, no length, no superscript in front of it."""
    known = (
        sign
        for sign in unicodedata.normalize("NFD", phone.replace("ç", "C"))
        if unicodedata.category(sign) not in ("Lm", "Mn", "Sk")
    )
    return next((sign for sign in known if sign.isalnum() or sign in SAMPA_VOWELS), "")


def _onset(interlude: Sequence[str]) -> int:
    """How many of the consonants between two nuclei begin the second one's syllable."""
    ranks = [_SONORITY.get(_letter(phone), 0) for phone in interlude]
    if not interlude or _letter(interlude[-1]) in _NEVER_ALONE:
        return 0
    length = 1
    while length < len(ranks) and ranks[-length - 1] < ranks[-length]:
        length += 1
    if length < len(ranks) and ranks[-length] == 0 and _letter(interlude[-length - 1]) in ("s", "ʃ"):
        length += 1
    return length
