import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.alignment import Segment
from mer.corpus.arpabet import CONSONANTS, PHONES, SPHINX_FOLDS, VOWELS, to_arpabet
from mer.corpus.sonority import syllabify_by_sonority
from mer.corpus.syllables import LEGAL_ONSETS, syllabify, syllable_segments
from mer.corpus.unspoken import is_filler


def split(word: str) -> str:
    phones = word.split()
    return " . ".join(" ".join(phones[start:end]) for start, end in syllabify(phones))


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("EH K S T R AH", "EH K . S T R AH"),  # extra
        ("AE T L AH S", "AE T . L AH S"),  # atlas: TL begins no English word
        ("S IH NG IH NG", "S IH NG . IH NG"),  # singing: NG begins nothing
        ("M Y UW Z IH K", "M Y UW . Z IH K"),
        ("IH K S K Y UW Z", "IH K . S K Y UW Z"),
        ("AE NG G R IY", "AE NG . G R IY"),
        ("HH AE P IY AH R", "HH AE . P IY . AH R"),
        ("EH0 K S T R AH1", "EH0 K . S T R AH1"),
        ("B AH DX AXR", "B AH . DX AXR"),
        ("AA T R AA", "AA . T R AA"),
        ("S T R EH NG K TH S", "S T R EH NG K TH S"),
        ("HH M", "HH M"),
        ("SH", "SH"),
        ("AA", "AA"),
        ("AA ?? AA", "AA . ?? AA"),
        ("", ""),
    ],
)
def test_the_longest_legal_onset_goes_to_the_right(word: str, syllables: str) -> None:
    assert split(word) == syllables


def test_the_phone_set_is_the_39_of_arpabet() -> None:
    assert (len(VOWELS), len(CONSONANTS), len(PHONES)) == (15, 24, 39)
    assert set(SPHINX_FOLDS.values()) <= PHONES
    assert not SPHINX_FOLDS.keys() & PHONES


def test_legal_onsets_are_the_documented_ones() -> None:
    assert {len(onset) for onset in LEGAL_ONSETS} == {2, 3}
    assert len(LEGAL_ONSETS) == 9 + 6 + 7 + 6 + 14 + 9
    assert ("S", "T", "R") in LEGAL_ONSETS
    assert ("T", "L") not in LEGAL_ONSETS


@pytest.mark.parametrize(
    ("symbol", "phone"),
    [
        ("AH0", "AH"),
        ("ER2", "ER"),
        ("AXR", "ER"),
        ("DX", "T"),
        ("TS", "S"),
        ("B1", "B1"),
        ("", ""),
        ("ə", "ə"),
    ]
    + [(f, t) for f, t in zip("BD GD PD KD TD DD AX IX".split(), "B G P K T D AH IH".split(), strict=True)],
)
def test_symbols_fold_onto_arpabet_or_stay(symbol: str, phone: str) -> None:
    assert to_arpabet(symbol) == phone


@given(st.lists(st.sampled_from(sorted(PHONES | SPHINX_FOLDS.keys() | {"AH0", "??"})), max_size=30))
def test_syllables_partition_the_phones_with_one_nucleus_each(phones: list[str]) -> None:
    ranges = syllabify(phones)
    assert [i for start, end in ranges for i in range(start, end)] == list(range(len(phones)))
    vowels = [sum(to_arpabet(p) in VOWELS for p in phones[start:end]) for start, end in ranges]
    if any(to_arpabet(p) in VOWELS for p in phones):
        assert set(vowels) == {1}
    else:
        assert len(ranges) == (1 if phones else 0)


@given(st.lists(st.sampled_from(sorted(CONSONANTS)), min_size=1, max_size=6))
def test_the_onset_is_legal_and_no_longer_one_is(consonants: list[str]) -> None:
    ((_, end), _) = syllabify(["AA", *consonants, "AA"])
    legal = [n for n in range(len(consonants) + 1) if _is_onset(consonants[len(consonants) - n :])]
    assert len(consonants) - (end - 1) == max(legal)


def _is_onset(phones: list[str]) -> bool:
    return not phones or (len(phones) == 1 and phones != ["NG"]) or tuple(phones) in LEGAL_ONSETS


def phones_of(*rows: tuple[str, int, int]) -> tuple[Segment, ...]:
    return tuple(Segment(*row) for row in rows)


def test_words_bound_syllables() -> None:
    phones = phones_of(("AE", 0, 50), ("N", 50, 90), ("AE", 90, 140), ("P", 140, 180))
    words = (Segment("AN", 0, 90), Segment("AP", 90, 180))
    assert syllable_segments(phones, words) == phones_of(("AE_N", 0, 90), ("AE_P", 90, 180))


def test_without_words_a_stretch_without_pause_is_taken_together() -> None:
    phones = phones_of(("AE", 0, 50), ("N", 50, 90), ("AE", 90, 140), ("P", 150, 180))
    assert syllable_segments(phones, ()) == phones_of(("AE", 0, 50), ("N_AE", 50, 140), ("P", 150, 180))


def test_a_phone_belongs_to_the_word_of_its_middle() -> None:
    phones = phones_of(("AA", 0, 60), ("B", 60, 91), ("AA", 91, 120))
    words = (Segment("x", 0, 76), Segment("y", 76, 120))
    assert [s.label for s in syllable_segments(phones, words)] == ["AA_B", "AA"]
    words = (Segment("x", 0, 75), Segment("y", 75, 120))
    assert [s.label for s in syllable_segments(phones, words)] == ["AA", "B_AA"]
    phones = phones_of(("AA", 0, 60), ("B", 60, 90), ("AA", 90, 120))
    assert [s.label for s in syllable_segments(phones, words)] == ["AA", "B_AA"]
    words = (Segment("x", 0, 60), Segment("y", 75, 120))
    assert [s.label for s in syllable_segments(phones, words)] == ["AA", "B_AA"]


def test_a_pause_within_a_word_does_not_split_it() -> None:
    phones = phones_of(("AA", 0, 60), ("T", 80, 90))
    assert syllable_segments(phones, (Segment("x", 0, 90),)) == phones_of(("AA_T", 0, 90))


def test_a_filler_is_a_syllable_of_its_own() -> None:
    phones = phones_of(("AA", 0, 10), ("+LAUGHTER+", 10, 20), ("B", 20, 30), ("AA", 30, 40))
    assert [s.label for s in syllable_segments(phones, (Segment("x", 0, 40),))] == [
        "AA",
        "+LAUGHTER+",
        "B_AA",
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["AA", "T", "R", "NG", "+NSN+"]), st.integers(0, 2)), max_size=20),
    st.lists(st.integers(1, 60), max_size=6, unique=True),
)
def test_every_phone_is_in_exactly_one_syllable(rows: list[tuple[str, int]], cuts: list[int]) -> None:
    phones, time = [], 0
    for label, pause in rows:
        phones.append(Segment(label, time + pause, time + pause + 2))
        time += pause + 2
    edges = sorted(cuts)
    words = [Segment("w", start, end) for start, end in zip(edges[::2], edges[1::2], strict=False)]
    syllables = syllable_segments(phones, words)
    assert "_".join(s.label for s in syllables) == "_".join(p.label for p in phones)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(syllables))
    assert {p.start_ms for p in phones} >= {s.start_ms for s in syllables}
    assert all(is_filler(s.label) for s in syllables if "+" in s.label)


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        ("pʰ ɫ iː z", "pʰɫiːz"),
        ("ɛ k s t ɹ ə", "ɛk.stɹə"),
        ("s ɪ ŋ ɪ ŋ", "sɪŋ.ɪŋ"),
        ("b ʌ t n̩", "bʌ.tn̩"),
        ("ˈm ʏ l ɐ", "ˈmʏ.lɐ"),
        ("h a b @ n", "ha.b@n"),
        ("g e: b n=", "ge:.bn="),
        ("f {: n t @ s i:", "f{:n.t@.si:"),
        ("zh ong1 g uo2", "zhong1.guo2"),
        ("y i1 y van2", "yi1.yvan2"),
        ("hh ae p iy", "hhae.piy"),
        ("b ah dx el", "bah.dxel"),
        ("b ɔ̃ ʒ u ʁ", "bɔ̃.ʒuʁ"),
        ("k a ☃ t o", "ka☃.to"),
        ("ts u n a m i", "tsu.na.mi"),
        ("s t", "st"),
        ("", ""),
    ],
)
def test_phones_of_other_sets_go_by_sonority(phones: str, expected: str) -> None:
    symbols = phones.split()
    assert ".".join("".join(symbols[start:end]) for start, end in syllabify_by_sonority(symbols)) == expected


def test_one_odd_symbol_leaves_the_other_syllables_alone() -> None:
    symbols = "HH AE P XX IY AH L OW N".split()
    phones = [Segment(symbol, 10 * place, 10 * place + 10) for place, symbol in enumerate(symbols)]
    assert [each.label for each in syllable_segments(phones, [])] == ["HH_AE_P", "XX_IY", "AH", "L_OW_N"]
