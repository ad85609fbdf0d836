"""Audio that is no file: answered for as the file that it would be."""

import importlib.util
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mer.corpus import Utterance
from mer.predict import Failure, PredictError, Prediction, Predictor, load, recording
from mer.predict.answer import Answer
from mer.predict.given_audio import as_files
from mer.predict.hub_download import Source

DATA = Path(__file__).parents[1] / "data"
TEXT = "leave me alone"
NOWHERE = Source(folder=Path("nowhere"), origin="nowhere")
FORMATS: dict[str, Any] = {
    "16-bit": {"rate": 16_000, "channels": 1, "dtype": "int16"},
    "other rate, two channels": {"rate": 22_050, "channels": 2, "dtype": "float32"},
    "float64": {"rate": 8_000, "channels": 1, "dtype": "float64"},
    "32-bit": {"rate": 44_100, "channels": 2, "dtype": "int32"},
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A late head with its small encoders."""
    folder = shutil.copytree(DATA / "results-v1" / "exported", tmp_path_factory.mktemp("exported") / "exported")
    return load(str(folder), device="cpu")


def samples(rate: int, channels: int, dtype: str) -> np.ndarray:
    noise = np.random.default_rng(rate).normal(0.0, 0.1, (int(0.4 * rate), channels))
    scaled = noise if "float" in dtype else noise * np.iinfo(dtype).max
    return scaled.astype(dtype)[:, 0] if channels == 1 else scaled.astype(dtype)


def file_of(array: np.ndarray, rate: int, path: Path) -> Path:
    subtype = {"int16": "PCM_16", "int32": "PCM_32", "float32": "FLOAT", "float64": "DOUBLE"}[array.dtype.name]
    soundfile.write(path, array, rate, subtype=subtype)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_and_samples_are_answered_for_as_their_file(name: str, predictor: Predictor, tmp_path: Path) -> None:
    array, rate = samples(**FORMATS[name]), FORMATS[name]["rate"]
    file = file_of(array, rate, tmp_path / "recording.wav")
    expected = predictor.predict(str(file), TEXT)
    assert expected.seconds == pytest.approx(0.4, abs=0.01)
    assert predictor.predict(file.read_bytes(), TEXT) == expected
    assert predictor.predict((array, rate), TEXT) == expected
    assert ("resampled from" in " ".join(expected.notes)) == (rate != 16_000)


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3"])
def test_what_bytes_are_is_told_by_what_is_in_them(ending: str, predictor: Predictor, tmp_path: Path) -> None:
    file = tmp_path / f"recording.{ending}"
    soundfile.write(file, samples(16_000, 1, "float32"), 16_000)
    assert predictor.predict(file.read_bytes(), TEXT) == predictor.predict(file, TEXT)


def test_media_files_are_known_by_their_first_bytes() -> None:
    for head, ending in ((b"\0\0\0\x20ftypM4A ", ".m4a"), (b"\x1a\x45\xdf\xa3", ".webm"), (b"#!AMR\n", ".amr"), (b"RIFF", "")):
        with as_files([(head, None)]) as given:
            assert given.utterances[0].wav.suffix == ending


def test_a_call_may_mix_all_kinds_and_nothing_of_it_stays_on_the_disk(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = samples(16_000, 1, "int16")
    (tmp_path / "a").mkdir()
    file = file_of(array, 16_000, tmp_path / "a" / "x.wav")
    found = predictor.predict_many(
        [
            (file, TEXT),
            ((array, 16_000), TEXT),
            (str(file), "we lost it all"),
            (b"no audio", TEXT),
            recording(file, TEXT, name="own"),
        ]
    )
    assert [each.id for each in found] == ["x", "recording", "x-2", "recording-2", "own"]
    first, second, third, fourth, fifth = found
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    assert isinstance(fifth, Prediction)
    assert isinstance(third, Prediction)
    assert first.logits == second.logits == fifth.logits != third.logits
    assert isinstance(fourth, Failure)
    assert fourth.reason.startswith("recording-2: not readable as audio")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (b"", "^recording: not readable as audio"),
        ((np.zeros(16_000, dtype=np.float32), 16_000), "^recording: silence"),
        ((np.zeros((2, 100), dtype=np.float32), 16_000), r"\(samples\) or \(samples, channels\), got \(2, 100\); give array.T\?"),
        ((np.zeros(100, dtype=np.uint8), 16_000), "samples are float32, float64, int16, int32, got uint8"),
        ((np.zeros(100, dtype=np.float32), 16_000.5), "whole number of Hz, got 16000.5"),
        ((np.full(8_000, np.nan, dtype=np.float32), 16_000), "^recording: 8000 samples are NaN or infinite"),
        ((np.zeros(0, dtype=np.float32), 16_000), "^recording: holds no samples"),
        (7, r"audio is a path, the bytes of a file, or \(array, rate\); got int"),
    ],
)
def test_audio_that_is_none_is_refused_as_a_file_would_be(audio: Any, message: str, predictor: Predictor) -> None:
    with pytest.raises(PredictError, match=message):
        predictor.predict(audio, TEXT)


def test_reprs_are_short_and_tables_are_escaped(predictor: Predictor) -> None:
    found = predictor.predict((samples(16_000, 1, "int16"), 16_000), TEXT)
    assert repr(predictor) == f"<Predictor of ang, hap, sad from audio and text: {len(predictor.runs)} runs>"
    best = f"{found.label} {found.probabilities[found.label]:.2f}"
    assert repr(found).startswith(f"<Prediction recording: {best}, ")
    told = Prediction(
        id="<i>", label="a", probabilities={"b": 0.5, "a": 0.5}, agreement=1.0, logits={}, seconds=0.0, notes=("x > y",)
    )._repr_html_()
    assert "<caption>&lt;i&gt;: a</caption>" in told
    assert told.index(">a</th>") < told.index(">b</th>") < told.index("x &gt; y")


class BusyEngine:
    """Remembers whether two threads were in any of its kind at the same time."""

    hears = reads = aligns = by_speaker = False
    aligned_by = "corpus"
    inside = most = 0

    def hear(self, chunks: Sequence[Sequence[Utterance]]) -> None:
        """Nothing is asked of all recordings of a call."""

    def answer(self, utterances: Sequence[Utterance]) -> dict[str, Answer | str]:
        BusyEngine.inside += 1
        BusyEngine.most = max(BusyEngine.most, BusyEngine.inside)
        time.sleep(0.02)
        BusyEngine.inside -= 1
        return {each.id: Answer(logits=np.zeros((1, 2)), seconds=0.0, notes=()) for each in utterances}


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What calls give that begin at the same time, each in a thread."""
    found: dict[int, Any] = {}
    barrier = threading.Barrier(len(calls))

    def call(number: int) -> None:
        barrier.wait()
        found[number] = calls[number]()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(calls))]


def test_predictors_take_turns_because_what_they_set_is_the_process_own() -> None:
    several = [Predictor(BusyEngine(), ("a", "b"), [("1", 0)], source=NOWHERE, max_seconds=60.0, aligner=None) for _ in range(4)]
    at_once([lambda one=one: one.predict("none.wav", "text") for one in several])  # type: ignore[misc]
    assert BusyEngine.most == 1


def test_eight_threads_give_exactly_what_one_gives(predictor: Predictor, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_results_v1", DATA / "make_results_v1.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    manifest = made.write_corpus(tmp_path / "corpus")
    given = [((manifest.parent / f"u{row}.wav").read_bytes(), made.TEXTS[row % 3]) for row in range(4)]
    expected = [predictor.predict(*each) for each in given]
    assert len({str(each.logits) for each in expected}) == 4
    other = load(str(DATA / "results-v1" / "exported"), device="cpu")
    calls = [lambda one=one: [one.predict(*each) for each in given] for one in [predictor, other] * 4]
    assert all(each == expected for each in at_once(calls))
