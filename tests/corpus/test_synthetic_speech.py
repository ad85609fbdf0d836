import random
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus import CorpusError
from mer.corpus.espeak_phones import SPHINX
from mer.corpus.synthetic import sentences
from mer.corpus.synthetic.espeak import Delivery, Phoneme, open_synthesizer
from mer.corpus.synthetic.phones import SpokenPhone, spoken_phones
from mer.corpus.synthetic.recording import SAMPLE_RATE, Recording, SpokenWord, record, tilted_spectrum
from mer.corpus.synthetic.screenplay import write_screenplay
from mer.corpus.synthetic.sphinx_files import Pronunciations, sphinx_files
from mer.corpus.synthetic.voices import PROSODY, VOICES, deliver

SPHINX_50 = set(
    "AA AE AH AO AW AX AXR AY B BD CH D DD DH DX EH ER EY F G GD HH IH IX IY JH K KD L M N NG OW OY P PD "
    "R S SH T TD TH TS UH UW V W Y Z ZH".split()
)
ALL = [sentence for group in sentences.CLEAR.values() for sentence in group]
ALL += [sentence for group in sentences.SHARED.values() for sentence in group]
ALL += sentences.EVERYDAY


def phoneme(name: str, start: int, end: int) -> Phoneme:
    return Phoneme(name=name, word=0, start=start, end=end)


def symbols(*names: str) -> list[str]:
    spoken = spoken_phones([phoneme(name, 10 * i, 10 * i + 10) for i, name in enumerate(names)], 1000)
    return [phone.symbol for phone in spoken]


def test_every_sentence_is_spoken_word_by_word_in_known_phones() -> None:
    dice = random.Random(0)
    with open_synthesizer() as synthesizer:
        for template in ALL:
            for voice in ("en-us+f1", "en-us+m3"):
                text = template.format(
                    name=dice.choice(sentences.NAMES),
                    place=dice.choice(sentences.PLACES),
                    thing=dice.choice(sentences.THINGS),
                    time=dice.choice(sentences.TIMES),
                )
                recording = record(text, synthesizer, voice, Delivery(), padding=(0.1, 0.1), seed="a")
                assert len(recording.words) == len(text.split())
                assert {phone.symbol for word in recording.words for phone in word.phones} <= SPHINX_50


def test_the_phone_table_gives_sphinx_symbols_only() -> None:
    assert {symbol for phones in SPHINX.values() for symbol in phones} <= SPHINX_50


def test_an_unknown_phoneme_is_named() -> None:
    with pytest.raises(CorpusError, match=r"espeak-ng phoneme 'Q' has no Sphinx phone"):
        symbols("Q")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("D", "e@", "r"), ["DH", "EH", "R"]),
        (("p", "i:", "t#", "3", "r-"), ["P", "IY", "DX", "AXR"]),
        (("D", "I2", ";"), ["DH", "IX"]),
        (("t", "eI", "b", "@L", "_:", "_"), ["T", "EY", "B", "AX", "L"]),
        (("b", "a", "k"), ["B", "AE", "KD"]),
        (("k",), ["K"]),
    ],
)
def test_phonemes_become_the_phones_of_a_dictionary(names: tuple[str, ...], expected: list[str]) -> None:
    assert symbols(*names) == expected


def test_phones_share_the_time_of_their_phoneme() -> None:
    spoken = spoken_phones([phoneme("f", 0, 40), phoneme("O@", 40, 100), phoneme("r", 100, 140)], 1000)
    assert [(phone.symbol, phone.start, phone.end) for phone in spoken] == [
        ("F", 0.0, 0.04),
        ("AO", 0.04, 0.07),
        ("R", 0.07, 0.14),
    ]


def test_phonemes_are_contiguous_to_the_last_sample() -> None:
    with open_synthesizer() as synthesizer:
        speech = synthesizer.speak("We saw Anna, and I am out of the house.", "en-us+f2", Delivery())
    assert speech.word_positions == tuple(m.start() for m in re.finditer(r"\S+", "We saw Anna, and I am out of the house."))
    assert [p.end for p in speech.phonemes] == [p.start for p in speech.phonemes[1:]] + [len(speech.samples)]


def test_an_engine_does_not_remember_the_one_before() -> None:
    spoken = []
    for text in ("How dare you!", "Nothing helps."):
        with open_synthesizer(5) as synthesizer:
            synthesizer.speak(text, "en-us+m1", Delivery())
        with open_synthesizer(5) as synthesizer:
            spoken.append(synthesizer.speak("I miss Anna so much.", "en-us+f1", Delivery()).samples)
    np.testing.assert_array_equal(spoken[0], spoken[1])


def test_delivery_changes_tempo_and_loudness() -> None:
    with open_synthesizer() as synthesizer:
        plain, fast, soft = (
            synthesizer.speak("The number is on the door.", "en-us+f1", delivery).samples.astype(np.float64)
            for delivery in (Delivery(), Delivery(rate=260), Delivery(volume=40))
        )
    assert len(fast) < 0.8 * len(plain)
    assert soft.std() < 0.6 * plain.std()


def test_an_unknown_voice_is_named() -> None:
    with open_synthesizer() as synthesizer, pytest.raises(CorpusError, match="no voice 'zz-nowhere'"):
        synthesizer.speak("Hello.", "zz-nowhere", Delivery())


def test_a_missing_synthesiser_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(CorpusError, match=r'pip install "mer-fusion\[demo\]"'), open_synthesizer():
        pass


@pytest.mark.parametrize(("tilt", "frequency"), [(3.0, 4000.0), (-3.5, 500.0), (6.0, 50.0)])
def test_the_tilt_is_in_db_per_octave_around_1_khz(tilt: float, frequency: float) -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    wave = np.sin(2 * np.pi * frequency * time)
    middle = slice(4000, 12000)
    gain = 20 * np.log10(tilted_spectrum(wave, tilt)[middle].std() / wave[middle].std())
    expected = tilt * np.log2(max(frequency, 100.0) / 1000.0)
    assert gain == pytest.approx(expected, abs=0.1)


def test_padding_and_tags_become_silence_and_fillers() -> None:
    with open_synthesizer() as synthesizer:
        recording = record(
            "[breathing] Okay, [LAUGHTER] thank you. [LIPSMACK][GARBAGE]",
            synthesizer,
            "en-us+f1",
            Delivery(),
            padding=(0.25, 0.5),
            seed="a",
        )
    assert [word.text for word in recording.words] == [
        "++BREATHING++",
        "OKAY",
        "++LAUGHTER++",
        "THANK",
        "YOU",
        "++LIPSMACK++",
        "++GARBAGE++",
    ]
    assert recording.words[0].phones[0] == SpokenPhone(symbol="+BREATHING+", start=0.25, end=0.65)
    assert len(recording.samples) / SAMPLE_RATE - recording.words[-1].phones[-1].end > 0.5
    assert np.abs(recording.samples[:3000]).max() < 100


def test_an_unknown_tag_is_named() -> None:
    with open_synthesizer() as synthesizer, pytest.raises(CorpusError, match=r"no sound for the tag \[SNORE\]"):
        record("[SNORE]", synthesizer, "en-us", Delivery(), padding=(0.1, 0.1), seed="a")


@given(
    lengths=st.lists(st.lists(st.floats(0.004, 0.3), min_size=1, max_size=5), min_size=1, max_size=6),
    pauses=st.lists(st.floats(0.0, 0.2), min_size=7, max_size=7),
)
def test_any_recording_becomes_contiguous_frames(lengths: list[list[float]], pauses: list[float]) -> None:
    now, words = pauses[0], []
    for index, phones in enumerate(lengths):
        spoken = []
        for length in phones:
            spoken.append(SpokenPhone(symbol="AA", start=now, end=now + length))
            now += length
        words.append(SpokenWord(text=f"W{'ABCDEF'[index]}", phones=tuple(spoken)))
        now += pauses[index + 1]
    samples = np.zeros(round((now + 0.3) * SAMPLE_RATE), np.int16)
    files = sphinx_files(Recording(samples=samples, words=tuple(words)), Pronunciations(), "a")
    total = len(samples) // 160
    spans = {}
    for name, content in (("Word", files.wdseg), ("Phone", files.phseg)):
        header, *rows, last = content.decode().splitlines()
        assert header == ("\t SFrm  EFrm    SegAScr Word" if name == "Word" else "\t SFrm  EFrm   SegAScr Phone")
        width = 10 if name == "Word" else 9
        pattern = rf"\t([ \d]{{5}}) ([ \d]{{5}}) ([ \-\d]{{{width}}}) (\S.*)"
        found = [re.fullmatch(pattern, row) for row in rows]
        spans[name] = [(int(match[1]), int(match[2]), match[4]) for match in found if match]
        assert len(spans[name]) == len(rows)
        starts, ends, _ = zip(*spans[name], strict=True)
        assert starts == (0, *(end + 1 for end in ends[:-1]))
        assert ends[-1] == total - 1
        assert all(end >= start for start, end in zip(starts, ends, strict=True))
        assert last == f" Total score: {sum(int(match[3]) for match in found if match):11d}"
    assert [label for *_, label in spans["Word"] if label[0] == "W"] == [word.text for word in words]
    assert (spans["Word"][0][2], spans["Word"][-1][2]) == ("<s>", "</s>")
    inside = {start for start, _, _ in spans["Word"]}
    assert all(start in inside for start, _, name in spans["Phone"] if name.endswith((" b", " s")))
    longer = len(spans["Phone"]) * 3 <= total
    assert all(end - start >= 2 for start, end, _ in spans["Phone"]) or not longer


def test_alignment_files_are_the_aligner_s_bytes() -> None:
    phones = [("Y", 0.03, 0.07), ("AO", 0.07, 0.12), ("R", 0.12, 0.20)]
    word = SpokenWord(text="YOUR", phones=tuple(SpokenPhone(symbol=s, start=a, end=b) for s, a, b in phones))
    laugh = SpokenWord(text="++LAUGHTER++", phones=(SpokenPhone(symbol="+LAUGHTER+", start=0.3, end=0.5),))
    solo = SpokenWord(text="A", phones=(SpokenPhone(symbol="AX", start=0.5, end=0.6),))
    recording = Recording(samples=np.zeros(11_280, np.int16), words=(word, laugh, solo))
    files = sphinx_files(recording, Pronunciations(), "a")
    without_scores = re.sub(rb" +-\d+", b" #", files.wdseg + files.phseg).decode()
    assert without_scores.splitlines() == [
        "\t SFrm  EFrm    SegAScr Word",
        "\t    0     2 # <s>",
        "\t    3    19 # YOUR",
        "\t   20    29 # <sil>",
        "\t   30    49 # ++LAUGHTER++",
        "\t   50    59 # A",
        "\t   60    69 # </s>",
        " Total score: #",
        "\t SFrm  EFrm   SegAScr Phone",
        "\t    0     2 # SIL",
        "\t    3     6 # Y SIL AO b",
        "\t    7    11 # AO Y R i",
        "\t   12    19 # R AO SIL e",
        "\t   20    29 # SIL",
        "\t   30    49 # +LAUGHTER+",
        "\t   50    59 # AX SIL SIL s",
        "\t   60    69 # SIL",
        " Total score: #",
    ]
    assert files.syseg.decode() == " SFrm  EFrm Syllable\n    3    19 Y_AO_R\n   50    59 AX\n"


def test_another_pronunciation_gets_a_number() -> None:
    heard = Pronunciations()
    names = []
    for vowel in ("AX", "IX", "AX", "IY"):
        phones = tuple(SpokenPhone(symbol=symbol, start=0.0, end=0.1) for symbol in ("DH", vowel))
        names.append(heard.name(SpokenWord(text="THE", phones=phones)))
    assert names == ["THE", "THE(2)", "THE", "THE(3)"]


def test_ambiguous_words_never_give_the_emotion_away() -> None:
    dice = random.Random(1)
    telling = {re.sub(r"{\w+}", "", sentence) for group in sentences.CLEAR.values() for sentence in group}
    neither = {re.sub(r"{\w+}", "", text) for text in (*sentences.EVERYDAY, *sum(sentences.SHARED.values(), ()))}
    assert not telling & neither
    slots = "|".join((*sentences.NAMES, *sentences.PLACES, *sentences.THINGS, *sentences.TIMES))
    words = {word for text in telling for word in re.findall(r"furious|hate|wonderful|lonely|funeral|stupid", text)}
    for _ in range(200):
        text = re.sub(slots, "", sentences.compose(dice.choice(list(PROSODY)), ambiguous=True, dice=dice))
        assert not words & set(text.lower().replace(".", "").split())


def test_an_ambiguous_delivery_lies_between_two_emotions() -> None:
    dice = random.Random(2)
    tempo = [deliver("sad", VOICES["1F"], ambiguous=True, dice=dice).rate for _ in range(300)]
    clear = [deliver("sad", VOICES["1F"], ambiguous=False, dice=dice).rate for _ in range(300)]
    others = [PROSODY[name][0] for name in ("ang", "hap", "neu")]
    assert np.mean(clear) == pytest.approx(PROSODY["sad"][0], abs=2)
    assert np.mean(tempo) == pytest.approx((PROSODY["sad"][0] + np.mean(others)) / 2, abs=3)


def test_the_ten_voices_differ() -> None:
    assert len({voice.name for voice in VOICES.values()}) == len(VOICES) == 10


def test_a_screenplay_is_the_same_for_a_seed_and_has_any_size() -> None:
    assert write_screenplay(137, 4) == write_screenplay(137, 4)
    for utterances in (100, 101, 137, 613):
        turns = write_screenplay(utterances, 4)
        assert len(turns) == utterances
        assert [turn.dialogue for turn in turns] == sorted(turn.dialogue for turn in turns)


def test_a_crowded_recording_still_gives_every_phone_a_frame() -> None:
    times = [round(0.1 + index / 100, 2) for index in range(21)]
    phones = tuple(SpokenPhone(symbol="S", start=a, end=b) for a, b in pairwise(times))
    recording = Recording(samples=np.zeros(6_400, np.int16), words=(SpokenWord(text="SSH", phones=phones),))
    rows = sphinx_files(recording, Pronunciations(), "a").phseg.decode().splitlines()[1:-1]
    assert [row.split()[:2] for row in rows[1:-1]] == [[str(frame), str(frame)] for frame in range(10, 30)]
