"""Alignment in any language as a user asks for it: `mer align` and `mer extract`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app

RUN = CliRunner()


def words_of(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_align_says_what_it_finds_and_what_it_passes_over(noises: Path, small_ctc: Path, tmp_path: Path) -> None:
    command = ["align", "--corpus", str(noises), "--to", str(tmp_path / "grids"), "--workers", "1", "--quiet"]
    shown = RUN.invoke(app, [*command, "--aligner", "ctc", "--ctc-model", str(small_ctc)])
    assert shown.exit_code == 1
    told = words_of(shown.stdout)
    assert "1 of 3 utterances aligned (1 now, 3 s of audio), ctc small (sha256" in told
    assert "tiers: words; this aligner finds no others, and extraction names what is missing" in told
    assert (
        "no character of them is in the model's vocabulary, so they take whatever is heard between their neighbours (2)" in told
    )
    assert "characters without a symbol in the model's vocabulary, passed over (2): 7 1, é 1" in told
    assert "u1: the text needs 179 frames of the recogniser and the speech has 49" in told
    check = RUN.invoke(app, [*command, "--check", str(tmp_path / "grids"), "--json"])
    assert [(tier["tier"], tier["median"], tier["matched"]) for tier in json.loads(check.stdout)["tiers"]] == [("words", 0.0, 5)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--aligner", "ctc"], "the aligner ctc needs a speech recogniser for the language of the texts"),
        (["--ctc-model", "x"], "--ctc-model and --ctc-revision are for the aligner ctc, and this is pocketsphinx"),
        (["--aligner", "ctk"], "unknown aligner 'ctk' (did you mean 'ctc'?): expected one of pocketsphinx, ctc"),
        (["--aligner", "ctc", "--ctc-model", "no/where"], "--ctc-model no/where: not a folder here, and the Hugging Face hub"),
    ],
)
def test_options_that_do_not_fit_are_refused(noises: Path, tmp_path: Path, more: list[str], message: str) -> None:
    refused = RUN.invoke(app, ["align", "--corpus", str(noises), "--to", str(tmp_path / "grids"), "--workers", "1", *more])
    assert refused.exit_code == 2
    assert message in words_of(refused.stderr)
    assert not (tmp_path / "grids").exists()


def test_extract_aligns_first_each_model_in_a_folder_of_its_own(
    noises: Path, small_ctc: Path, tmp_path: Path, speech_encoder_folder: Callable[[str], Path]
) -> None:
    command = ["extract", "--corpus", str(noises), "--cache", str(tmp_path / "features"), "--workers", "1", "--quiet"]
    command += ["--speech-model", str(speech_encoder_folder("wav2vec2")), "--granularity", "S+W", "--json"]
    wrong = RUN.invoke(app, [*command, "--ctc-model", str(small_ctc)])
    assert wrong.exit_code == 2
    assert "it is for --alignment ctc; leave it out, or add that" in words_of(wrong.stderr)
    found = RUN.invoke(app, [*command, "--alignment", "ctc", "--ctc-model", str(small_ctc)])
    data = json.loads(found.stdout)
    assert found.exit_code == 1, found.stderr
    assert data["alignments"] == {"ctc": 1, "none": 2}
    assert data["missing_tiers"].keys() == {"S", "W"}
    (folder,) = (tmp_path / "features" / "own").glob("ctc-small-*")
    assert (folder / "u0.TextGrid").is_file()
    (spec,) = (json.loads(path.read_text()) for path in (tmp_path / "features").glob("*/*/spec.json"))
    assert spec["segments"]["alignment"] == "ctc"
