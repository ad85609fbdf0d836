"""`--device mps`: answers and transcripts come from there as from a CPU; what trains refuses it in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.predict import load
from mer.recognise.transcriber import open_transcriber
from mer.tests.fake_apple import fake_apple
from mer.tests.predict.conftest import Trained
from mer.tests.recognise.small_recognisers import write_ctc, write_whisper


@pytest.mark.parametrize("words", [["train-head"], ["finetune"], ["grid", "zhao2022-table1"]])
def test_training_refuses_it(words: list[str], tmp_path: Path, trained: Trained) -> None:
    where = (
        ["--corpus", str(trained.corpus)] if words == ["finetune"] else ["--cache", str(trained.corpus.parents[1] / "features")]
    )
    more = ["--classes", "as-is", "--runs", str(tmp_path), "--device", "mps"]
    with fake_apple():
        done = CliRunner().invoke(app, [*words, *where, *more])
    assert done.exit_code == 2, done.output
    assert "what is trained needs auto, cpu or cuda" in done.stderr


@pytest.mark.parametrize("name", ["late", "coattention", "finetuned"])
def test_answers_are_those_of_a_cpu(name: str, trained: Trained) -> None:
    encoders: Any = {} if name == "finetuned" else {"speech_model": str(trained.speech), "text_model": str(trained.text)}
    utterance = next(iter(open_corpus(trained.corpus)))
    expected = load(trained.runs[name], device="cpu", **encoders).predict(utterance.wav, utterance.text)
    with fake_apple():
        found = load(trained.runs[name], device="mps", **encoders).predict(utterance.wav, utterance.text)
    assert found.probabilities == expected.probabilities


@pytest.mark.parametrize("write", [write_ctc, write_whisper])
def test_recognisers_hear_the_same(write: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = str(write(tmp_path / "recogniser"))
    wave = np.random.default_rng(0).normal(size=16_000).astype(np.float32) * 0.1
    expected = open_transcriber(folder)(wave)
    with fake_apple():
        assert open_transcriber(folder, device="mps")(wave) == expected
