import dataclasses
import itertools
import re
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mer.corpus import Alignment, Utterance
from mer.corpus.aligner import Aligner, AlignerChoice, AlignError, align, compare_alignments, pocketsphinx_aligner, unknown_words
from mer.corpus.aligner.extra_package import EXTRA_PACKAGES
from mer.corpus.arpabet import PHONES

NUMBER = re.compile(r"\b(one|two|three|seven)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner()


def test_boundaries_are_where_the_synthesiser_put_them(aligner: Aligner, spoken: Any) -> None:
    # The issue asks for 20 ms and 80 %; the figures by voice are in docs/alignment.md.
    chosen = [u for number, u in enumerate(spoken.corpus) if number % 3 == 0]
    assert {u.speaker for u in chosen} == {u.speaker for u in spoken.corpus}
    pairs = [(aligner.align(spoken.wave(u), u.text or "").alignment, spoken.exact[u.id]) for u in chosen]
    by_tier = {agreement.tier: agreement for agreement in compare_alignments(pairs)}
    phones, words = by_tier["phones"], by_tier["words"]
    assert words.matched == words.units
    assert phones.matched > 0.9 * phones.units
    assert phones.median <= 20
    assert phones.within_50 >= 0.85
    assert abs(phones.bias) <= 25


def test_every_phone_is_in_a_syllable_and_a_word_in_time_order(aligner: Aligner, spoken: Any, plain: list[Utterance]) -> None:
    found = aligner.align(spoken.wave(plain[0]), plain[0].text or "").alignment
    assert {phone.label for phone in found.phones} <= PHONES
    for tier in (found.phones, found.syllables, found.words):
        assert all(a.start_ms < a.end_ms <= b.start_ms for a, b in itertools.pairwise(tier))
    inner = {edge for phone in found.phones for edge in (phone.start_ms, phone.end_ms)}
    for tier in (found.syllables, found.words):
        assert {edge for segment in tier for edge in (segment.start_ms, segment.end_ms)} <= inner
    assert found.words[-1].end_ms <= 1000 * len(spoken.wave(plain[0])) / 16_000


def test_results_do_not_depend_on_what_came_before(aligner: Aligner, spoken: Any, plain: list[Utterance]) -> None:
    one, other = plain[0], misspelt(plain)
    alone = Aligner().align(spoken.wave(one), one.text or "")
    assert aligner.align(spoken.wave(other), other.text or "").unknown == ("nighte",)
    with pytest.raises(AlignError, match="check that text and audio belong together"):
        aligner.align(spoken.wave(one), "entirely different words that nobody has ever said in this recording at all")
    assert aligner.align(spoken.wave(one), one.text or "") == alone


def misspelt(plain: list[Utterance]) -> Utterance:
    """An utterance with a word that no dictionary has, and that sounds right."""
    chosen = next(u for u in plain if "night" in (u.text or ""))
    return dataclasses.replace(chosen, text=(chosen.text or "").replace("night", "nighte"))


def test_an_unknown_word_is_guessed_and_listed_every_time(aligner: Aligner, spoken: Any, plain: list[Utterance]) -> None:
    utterance = misspelt(plain)
    right = aligner.align(spoken.wave(utterance), (utterance.text or "").replace("nighte", "night")).alignment
    for _ in range(2):
        found = aligner.align(spoken.wave(utterance), utterance.text or "")
        assert found.unknown == ("nighte",)
        assert found.alignment.phones == right.phones
        assert not aligner.knows("nighte")  # a guess is no entry
    assert aligner.knows("night")


def test_tags_are_fillers_in_the_pauses_where_they_are_heard(aligner: Aligner, spoken: Any) -> None:
    places = []
    for utterance in spoken.corpus:
        if "[" not in (utterance.text or ""):
            continue
        found = aligner.align(spoken.wave(utterance), utterance.text or "").alignment
        heard = [word for word in spoken.exact[utterance.id].words if word.label.startswith("+")]
        fillers = [word for word in found.words if word.label.startswith("[")]
        assert [f.label.strip("[]") for f in fillers] == [h.label.strip("+") for h in heard]
        assert [p.label for p in found.phones].count("spn") == len(fillers)
        assert [s.label for s in found.syllables].count("spn") == len(fillers)
        places += [(f, h) for f, h in zip(fillers, heard, strict=True)]
    assert len(places) >= 5
    overlap = [min(f.end_ms, h.end_ms) - max(f.start_ms, h.start_ms) > 0.8 * (h.end_ms - h.start_ms) for f, h in places]
    assert np.mean(overlap) >= 0.7


def test_a_tag_where_nothing_is_heard_is_counted_as_lost(aligner: Aligner, spoken: Any, plain: list[Utterance]) -> None:
    whole = aligner.align(spoken.wave(plain[0]), plain[0].text or "")
    first, *rest = (plain[0].text or "").split()
    found = aligner.align(spoken.wave(plain[0]), f"{first} [COUGH] {' '.join(rest)}")
    assert (found.fillers_lost, found.alignment) == (1, whole.alignment)


def tone() -> NDArray[np.float32]:
    seconds = np.arange(64_000) / 16_000
    chord = sum(np.sin(2 * np.pi * f * seconds) for f in (220, 277, 330))
    return (0.1 * chord * (1 + np.sin(5 * seconds))).astype(np.float32)


NOISE = (0.05 * np.random.default_rng(0).normal(size=32_000)).astype(np.float32)


@pytest.mark.parametrize(
    ("wave", "text", "message"),
    [
        (NOISE, "", "no words in the text ''"),
        (NOISE, " ... -- ", "no words in the text"),
        (np.zeros(32_000, np.float32), "hello there", r"2.00 s of silence"),
        (np.zeros(0, np.float32), "hello there", r"0.00 s of silence"),
        (NOISE[:800], "hello there my friend", "text cannot be what is said"),
        (NOISE, "hello there my friend", "text cannot be what is said"),
        (tone(), "i talked to oliver about the picture", "text cannot be what is said"),
        (np.full(100, np.nan, np.float32), "hello", "not finite"),
        (np.ones(16_000 * 601, np.float32), "hello", "601 s of speech; the aligner takes 600 s at most"),
        (NOISE, "Guten Morgen, wie gehts Ihnen heute Nachmittag", "are in no English dictionary"),
        (NOISE, "привет", "no Latin letter"),
    ],
)
def test_what_cannot_be_aligned_says_why(aligner: Aligner, wave: NDArray[np.float32], text: str, message: str) -> None:
    with pytest.raises(AlignError, match=message):
        aligner.align(wave, text)


def test_texts_of_other_recordings_are_refused_mostly(aligner: Aligner, spoken: Any, plain: list[Utterance]) -> None:
    refused = []
    for one, other in zip(plain[:24], plain[24:48], strict=True):
        if set((one.text or "").split()) & set((other.text or "").split()):
            continue
        try:
            aligner.align(spoken.wave(one), other.text or "")
            refused.append(False)
        except AlignError:
            refused.append(True)
    assert len(refused) >= 8
    assert np.mean(refused) >= 0.75


def test_the_function_is_the_method_of_one_shared_aligner(aligner: Aligner, spoken: Any, plain: list[Utterance]) -> None:
    found: Alignment = align(spoken.wave(plain[2]), plain[2].text or "")
    assert found == aligner.align(spoken.wave(plain[2]), plain[2].text or "").alignment


@pytest.mark.parametrize("package", EXTRA_PACKAGES)
def test_without_one_of_its_packages_the_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    unknown_words._engine.cache_clear()
    with pytest.raises(AlignError, match=rf"needs the package {package}, .*pip install 'mer-fusion\[align\]'"):
        Aligner()
    with pytest.raises(AlignError, match=f"needs the package {package}"):
        _ = AlignerChoice().kind().title


@pytest.mark.parametrize("package", ["pocketsphinx", "num2words"])
def test_another_version_of_a_package_aligns_again(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = AlignerChoice().kind().fingerprint
    monkeypatch.setattr(pocketsphinx_aligner, "version", lambda name: "9.9.9" if name == package else version(name))
    assert AlignerChoice().kind().fingerprint == before.replace(f"{package} {version(package)}", f"{package} 9.9.9") != before


def test_another_espeak_aligns_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = AlignerChoice().kind().fingerprint
    monkeypatch.setattr(pocketsphinx_aligner, "espeak_version", lambda: "9.9.9")
    assert "espeak-ng 9.9.9," in AlignerChoice().kind().fingerprint != before


def test_a_number_is_aligned_as_its_words_are(aligner: Aligner, spoken: Any, plain: list[Utterance]) -> None:
    chosen = next(u for u in plain if NUMBER.search(u.text or ""))
    digits = NUMBER.sub(lambda found: {"one": "1", "two": "2", "three": "3", "seven": "7"}[found[0].lower()], chosen.text or "")
    assert aligner.align(spoken.wave(chosen), digits) == aligner.align(spoken.wave(chosen), chosen.text or "")
