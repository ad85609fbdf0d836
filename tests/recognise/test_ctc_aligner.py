"""The aligner `ctc`: what it makes of speech, what it refuses, and how it goes on in a folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from mer.corpus import Corpus, open_corpus
from mer.corpus.aligner import AlignerChoice, AlignerOptions, AlignError, align_corpus
from mer.corpus.textgrid_folder import with_textgrids
from mer.recognise import Ctc, CtcAligner
from mer.tests.recognise.small_recognisers import write_ctc


@pytest.fixture(scope="module")
def aligner(small_ctc: Path) -> CtcAligner:
    return Ctc(AlignerOptions(ctc_model=str(small_ctc))).open()


@pytest.fixture(scope="module")
def corpus(noises: Path) -> Corpus:
    return open_corpus(noises)


def noise(seconds: float = 1.0, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.1, size=int(16_000 * seconds)).astype(np.float32)


def choice(model: Path) -> AlignerChoice:
    return AlignerChoice(name="ctc", options=AlignerOptions(ctc_model=str(model)))


def test_words_are_in_time_order_and_there_are_no_phones(aligner: CtcAligner) -> None:
    found = aligner.align(noise(), "So, what IS 42 é?")
    assert [each.label for each in found.alignment.words] == ["so", "what", "is", "42", "é"]
    times = [time for each in found.alignment.words for time in (each.start_ms, each.end_ms)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= 1000
    assert found.alignment.phones == found.alignment.syllables == ()
    assert (found.unknown, found.unknown_characters) == (("42", "é"), {"4": 1, "2": 1, "é": 1})


@pytest.mark.parametrize(
    ("wave", "text", "message"),
    [
        (noise(), " ... ", "no words in the text"),
        (noise(), "42 Жук", r"no character of '42 Жук' is in the model's vocabulary \('abcdefghijklmnopqrstuvwxyz\)"),
        (noise(), "a" * 60, "the text needs 119 frames of the recogniser and the speech has 49"),
        (noise(0.02), "a", "the text needs 1 frames of the recogniser and the speech has 0"),
        (np.zeros(16_000, np.float32), "a", "1.00 s of silence"),
        (np.ones(16_000 * 121, np.float32), "a", "121 s of speech; the aligner takes 120 s at most"),
    ],
)
def test_what_cannot_be_aligned_says_why(aligner: CtcAligner, wave: np.ndarray, text: str, message: str) -> None:
    with pytest.raises(AlignError, match=message):
        aligner.align(wave, text)


def test_a_text_that_is_far_less_probable_than_what_is_heard_is_refused(
    aligner: CtcAligner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.recognise.ctc_aligner.MOST_LOST", 0.5)
    with pytest.raises(AlignError, match=r"each letter of it is e\^\d+ times less probable than what the model hears"):
        aligner.align(noise(), "so what is")


def test_a_model_must_be_named_and_only_for_this_aligner() -> None:
    with pytest.raises(AlignError, match="give --ctc-model FOLDER, or a hub id"):
        AlignerChoice(name="ctc").kind()
    with pytest.raises(AlignError, match="are for the aligner ctc, and this is pocketsphinx"):
        AlignerChoice(options=AlignerOptions(ctc_model="x")).kind()
    with pytest.raises(ValueError, match=r"unknown aligner 'ctk' \(did you mean 'ctc'\?\)"):
        AlignerChoice(name="ctk").kind()


def test_a_corpus_is_aligned_once_and_again_with_another_model(small_ctc: Path, corpus: Corpus, tmp_path: Path) -> None:
    first = align_corpus(corpus, tmp_path / "out", aligner=choice(small_ctc), workers=1)
    assert (first.aligned, first.made, [each.id for each in first.failed]) == (1, 1, ["u1", "u2"])
    assert first.tiers == ("words",)
    assert (first.unknown_words, first.unknown_characters) == ({"7": 1, "é": 1}, {"7": 1, "é": 1})
    assert first.aligner.startswith("ctc small (sha256 ")
    again = align_corpus(corpus, tmp_path / "out", aligner=choice(small_ctc), workers=1)
    assert (again.made, again.unknown_characters) == (0, first.unknown_characters)
    aligned = with_textgrids(corpus, tmp_path / "out", kind="ctc")
    source = aligned.utterances[0].alignment
    assert source is not None
    assert [each.label for each in source.read().words] == ["so", "what", "is", "7", "é"]
    assert 'name = "phones"' not in (tmp_path / "out" / "u0.TextGrid").read_text()
    other = write_ctc(tmp_path / "other", "wav2vec2-bert")
    assert align_corpus(corpus, tmp_path / "out", aligner=choice(other), workers=1).made == 1


def test_a_folder_of_another_aligner_is_refused(small_ctc: Path, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "alignment.jsonl").write_text('{"mer": "alignment", "aligner": "pocketsphinx 5.1.1, mer rules 1"}\n')
    with pytest.raises(AlignError, match=r"holds alignments by pocketsphinx 5.1.1, mer rules 1, and these are by ctc small"):
        align_corpus(corpus, tmp_path, aligner=choice(small_ctc), workers=1)


def test_a_model_without_a_head_is_refused_before_anything_is_aligned(corpus: Corpus, tmp_path: Path) -> None:
    config = write_ctc(tmp_path / "model") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": None}))
    with pytest.raises(ValueError, match="has no vocab_size, so it is an encoder and no CTC speech recogniser"):
        align_corpus(corpus, tmp_path / "out", aligner=choice(tmp_path / "model"), workers=1)
    assert not (tmp_path / "out").exists()
