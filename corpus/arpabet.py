"""The 39 ARPAbet phones of English, and how other spellings fold onto them."""

VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
"""Every vowel is the nucleus of one syllable."""

CONSONANTS = frozenset("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())
"""All phones that are never a nucleus."""

PHONES = VOWELS | CONSONANTS
"""The set of the CMU pronouncing dictionary, without stress."""

# TS is the closure and release of one symbol: its inner boundary is in no file, so it stays one unit and
# takes the name of its audible part.
SPHINX_FOLDS = {
    "AX": "AH",
    "AXR": "ER",
    "IX": "IH",
    "BD": "B",
    "DD": "D",
    "DX": "T",
    "GD": "G",
    "KD": "K",
    "PD": "P",
    "TD": "T",
    "TS": "S",
}
"""What the 50-phone set of CMU Sphinx adds to ARPAbet: reduced vowels, unreleased stops, flap, affricate."""


def to_arpabet(symbol: str) -> str:
    """Fold a phone onto the 39: stress digits go (`AH0`), Sphinx symbols become their phone (`AXR` -> `ER`).

    Args:
        symbol: upper case, as Sphinx and MFA's English ARPAbet models write it. Anything else, IPA and
            fillers included, comes back as it was.
    """
    if symbol[:-1] in VOWELS and symbol[-1] in "012":
        return symbol[:-1]
    return SPHINX_FOLDS.get(symbol, symbol)
