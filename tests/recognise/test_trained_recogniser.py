"""A recogniser that has learnt to hear: where it puts words, against the synthesiser's own times."""

import json
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.corpus.aligner import AlignError
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.corpus.audio import read_wave
from mer.corpus.synthetic import write_synthetic_corpus
from mer.recognise import Ctc, open_transcriber
from mer.tests.recognise.trained_recogniser import write_trained

RUN = CliRunner()
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained recogniser")]  # which is trained for a minute


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained(tmp_path_factory.mktemp("trained") / "recogniser")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another corpus than the one that is trained on; its alignments are the synthesiser's own times."""
    root = tmp_path_factory.mktemp("synthetic") / "corpus"
    write_synthetic_corpus(root, utterances=100)
    return root


def check(corpus: Path, folder: Path, *aligner: str) -> dict[str, float]:
    """Word boundaries of an aligner against the corpus' own, as `mer align --check` tells."""
    command = ["align", "--corpus", str(corpus), "--to", str(folder), "--workers", "1", "--quiet", *aligner]
    made = RUN.invoke(app, command)
    assert made.exit_code in (0, 1), made.output
    told = json.loads(RUN.invoke(app, [*command, "--check", "corpus", "--json"]).stdout)
    found: dict[str, float] = next(tier for tier in told["tiers"] if tier["tier"] == "words")
    return found


def test_words_are_where_the_synthesiser_put_them(trained: Path, synthetic: Path, tmp_path: Path) -> None:
    ctc = check(synthetic, tmp_path / "ctc", "--aligner", "ctc", "--ctc-model", str(trained))
    sphinx = check(synthetic, tmp_path / "sphinx")
    print(f"ctc {ctc}\npocketsphinx {sphinx}")
    assert ctc["matched"] > 0.9 * ctc["units"]
    assert ctc["median"] <= 40
    assert sphinx["median"] <= 25


def test_it_hears_the_letters_that_are_said(trained: Path, synthetic: Path) -> None:
    """Spelling is beyond a minute of training: letters in their order count, and what parts words does not."""
    transcriber = open_transcriber(str(trained))
    likeness = []
    for utterance in [each for each in open_corpus(synthetic) if each.text and "[" not in each.text][:20]:
        said = "".join(each for each in (utterance.text or "").lower() if each.isalpha())
        heard = "".join(transcriber(read_wave(utterance.wav, 16_000).samples).split())
        likeness.append(SequenceMatcher(None, said, heard, autojunk=False).ratio())
    assert sum(likeness) / len(likeness) > 0.7


def test_texts_of_other_recordings_are_refused_mostly(trained: Path, synthetic: Path) -> None:
    aligner = Ctc(AlignerOptions(ctc_model=str(trained))).open()
    plain = [each for each in open_corpus(synthetic) if each.text and "[" not in each.text and len(each.text.split()) >= 4][:24]
    refused, wrongly = 0, 0
    for own, other in zip(plain, [*plain[1:], plain[0]], strict=True):
        wave = read_wave(own.wav, 16_000).samples
        for text in (own.text, other.text):
            try:
                aligner.align(wave, text or "")
            except AlignError:
                refused, wrongly = refused + (text != own.text), wrongly + (text == own.text)
    assert wrongly == 0
    assert refused >= 20
