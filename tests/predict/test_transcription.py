"""Answers for recordings without a text: what is heard, printed and kept, and with which aligner."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus.aligner import AlignerOptions
from mer.predict import Predictor, live_aligner, open_transcriber, recording, transcribe
from mer.tests.predict.conftest import Trained
from mer.tests.recognise.small_recognisers import write_ctc, write_whisper

RUN = CliRunner()


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ctc(tmp_path_factory.mktemp("recogniser") / "small-ctc")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three recordings: one with a text, one without, one of silence."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, scale in (("told", 0.1), ("untold", 0.1), ("mute", 0.0)):
        wave = np.random.default_rng(len(name)).normal(scale=scale, size=12_000) if scale else np.zeros(12_000)
        soundfile.write(folder / f"{name}.wav", wave, 16_000)
    (folder / "told.txt").write_text("leave me alone")
    return folder


def asked(trained: Trained, name: str, *more: str) -> list[str]:
    encoders = ["--speech-model", str(trained.speech), "--text-model", str(trained.text)]
    return ["predict", str(trained.runs[name]), *encoders, "--device", "cpu", *more]


def test_what_was_heard_is_printed_and_kept(trained: Trained, recogniser: Path, clips: Path, tmp_path: Path) -> None:
    heard = open_transcriber(str(recogniser))(soundfile.read(clips / "untold.wav", dtype="float32")[0])
    command = asked(trained, "text", str(clips), "--transcribe", str(recogniser))
    shown = RUN.invoke(app, [*command, "--csv", str(tmp_path / "answers.csv")])
    assert shown.exit_code == 1
    assert f"untold: heard {heard!r}" in shown.stdout.replace("\n", "")
    assert "told: heard" not in shown.stdout.replace("untold: heard", "")
    assert "1 recordings bring a text, and keep it" in shown.stderr
    assert "no answer for mute" in shown.stderr
    with (tmp_path / "answers.csv").open(newline="") as file:
        assert {row["id"]: row["heard"] for row in csv.DictReader(file)} == {"told": "", "untold": heard}
    data = json.loads(RUN.invoke(app, [*command, "--json", "--quiet"]).stdout)
    assert {each["id"]: each.get("heard") for each in data["predictions"]} == {"told": None, "untold": heard}
    assert data["transcribed_by"] == str(recogniser)


def test_an_answer_is_that_of_the_text_that_was_heard(trained: Trained, recogniser: Path, clips: Path) -> None:
    wav = ["--wav", str(clips / "untold.wav")]
    one = json.loads(RUN.invoke(app, asked(trained, "text", *wav, "--transcribe", str(recogniser), "--json")).stdout)
    text = one["predictions"][0]["heard"]
    other = json.loads(RUN.invoke(app, asked(trained, "text", *wav, "--text", text, "--json")).stdout)
    assert one["predictions"][0]["probabilities"] == other["predictions"][0]["probabilities"]
    assert "heard" not in other["predictions"][0]
    assert "transcribed_by" not in other


def test_a_text_and_a_recogniser_for_one_recording_are_refused(trained: Trained, clips: Path) -> None:
    both = RUN.invoke(app, asked(trained, "text", "--wav", str(clips / "told.wav"), "--text", "a", "--transcribe", "x"))
    assert both.exit_code == 2
    assert "leave out --text, or this" in " ".join(both.stderr.split()).replace("│ ", "")


def test_long_recordings_are_told(clips: Path, tmp_path: Path) -> None:
    soundfile.write(clips / "long.wav", np.random.default_rng(1).normal(scale=0.1, size=20_000), 16_000)
    whisper = open_transcriber(str(write_whisper(tmp_path / "whisper", languages=False)))
    found = transcribe([recording(clips / f"{name}.wav", None) for name in ("untold", "long", "mute", "gone")], whisper)
    assert found.cut == ("long",)
    assert list(found.texts) == ["untold", "long"]
    assert [each.text for each in found.utterances] == list(found.texts.values())
    assert [each.id for each in found.failed] == ["mute", "gone"]


def test_recordings_without_times_are_aligned_by_the_aligner_that_is_asked_for(
    loaded: Callable[..., Predictor], recogniser: Path, clips: Path
) -> None:
    aligner = live_aligner("ctc", AlignerOptions(ctc_model=str(recogniser)))
    words = loaded("transformer", aligner=aligner).predict(clips / "told.wav", "leave me alone")
    whole = loaded("transformer").predict(clips / "told.wav", "leave me alone")
    assert any("one segment over all of it" in note for note in whole.notes)
    assert not any("one segment over all of it" in note for note in words.notes)
    assert words.logits != whole.logits


def test_the_aligner_of_a_language_needs_its_model(trained: Trained, clips: Path, recogniser: Path) -> None:
    command = asked(
        trained, "transformer", "--wav", str(clips / "told.wav"), "--text", "leave me alone", "--alignment", "ctc", "--json"
    )
    without = RUN.invoke(app, command)
    assert without.exit_code == 2
    assert "the aligner ctc needs a speech recogniser" in without.stderr
    found: dict[str, Any] = json.loads(RUN.invoke(app, [*command, "--ctc-model", str(recogniser)]).stdout)
    assert not any("one segment" in note for note in found["predictions"][0]["notes"])
