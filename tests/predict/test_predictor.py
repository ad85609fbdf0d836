"""Answers for recordings that nobody has trained on, and everything that has no answer."""

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import Alignment, AlignmentError, Segment, Utterance, open_corpus
from mer.predict import Failure, PredictError, Prediction, Predictor, load, recording
from mer.predict.answer import Answer
from mer.predict.hub_download import Source
from mer.results.errors import ResultError
from mer.results.file_hashes import seal

run = CliRunner().invoke
Loader = Callable[..., Predictor]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two good recordings and one of each kind that has no answer."""
    folder = tmp_path / "clips"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0.0, 0.1, (6_000, 2))
    soundfile.write(folder / "good.flac", noise, 12_000)
    soundfile.write(folder / "other.wav", noise[:, 0], 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(8_000), 16_000)
    soundfile.write(folder / "short.wav", noise[:100, 0], 16_000)
    soundfile.write(folder / "long.wav", np.tile(noise[:, 0], 4), 16_000)
    soundfile.write(folder / "wordless.wav", noise[:, 0], 16_000)
    (folder / "broken.wav").write_bytes((folder / "other.wav").read_bytes()[:5_000])
    (folder / "none.wav").write_text("this is no audio")
    for each in [*folder.iterdir()]:
        each.with_suffix(".txt").write_text("  " if each.stem == "wordless" else "leave me alone")
    return folder


REASONS = {
    "broken": "ends early: its header promises",
    "long": "1.5 s, more than the 1 s that are taken at once; cut it into utterances, or raise --max-seconds",
    "none": "not readable as audio",
    "short": "the encoder needs at least 400",
    "silent": "silence (nothing above -80 dB of full scale)",
    "wordless": "no text, and this run reads it",
}


def arguments(trained: Any, name: str) -> list[str]:
    return ["predict", str(trained.runs[name]), "--speech-model", str(trained.speech), "--text-model", str(trained.text)]


@pytest.mark.parametrize("name", ["late", "finetuned"])
def test_a_folder_is_answered_for_and_what_is_bad_in_it_is_listed(name: str, trained: Any, clips: Path, tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    extra = ["--alignment", "none", "--max-seconds", "1", "--csv", str(table), "--json"]
    result = run(app, [*arguments(trained, name), str(clips), *extra])
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert [each["id"] for each in found["predictions"]] == ["good", "other"]
    reasons = {each["id"]: each["reason"] for each in found["failed"]}
    assert reasons.keys() == REASONS.keys()
    for clip, reason in REASONS.items():
        if (name, clip) != ("finetuned", "short"):
            assert reason in reasons[clip]
        assert clip in reasons[clip]
        assert f"no answer for {clip}: " in result.stderr
    for each in found["predictions"]:
        assert each["label"] == max(each["probabilities"], key=each["probabilities"].__getitem__)
    assert found["predictions"][0]["notes"][:2] == ["downmixed from 2 channels", "resampled from 12000 Hz"]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, each in zip(rows, found["predictions"], strict=True):
        assert row["prediction"] == each["label"]
        assert float(row["sad"]) == pytest.approx(each["probabilities"]["sad"], abs=1e-6)


def test_probabilities_are_the_mean_over_the_runs_of_the_softmax_of_their_logits(loaded: Loader, clips: Path) -> None:
    found = loaded("late").predict(clips / "other.wav", "leave me alone")
    assert list(found.logits) == ["fold1-seed0", "fold1-seed1", "fold2-seed0", "fold2-seed1", "fold3-seed0", "fold3-seed1"]
    logits = np.array(list(found.logits.values()))
    each = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(list(found.probabilities.values()), each.mean(0), rtol=1e-12)
    assert found.label == ("angry", "happy", "sad")[int(each.mean(0).argmax())]
    assert found.agreement == np.mean(each.argmax(1) == each.mean(0).argmax())


def test_folds_and_seeds_can_be_chosen(loaded: Loader, clips: Path) -> None:
    every = loaded("late").predict(clips / "other.wav", "leave me alone")
    some = loaded("late", folds=("3", "1"), seeds=(1,)).predict(clips / "other.wav", "leave me alone")
    assert list(some.logits) == ["fold1-seed1", "fold3-seed1"]
    for name, logits in some.logits.items():
        np.testing.assert_allclose(logits, every.logits[name], rtol=1e-5, atol=1e-6)
    with pytest.raises(PredictError, match="no fold 9; it has 1, 2, 3"):
        loaded("late", folds=("9",))
    with pytest.raises(PredictError, match="no seed 5; it has 0, 1"):
        loaded("late", seeds=(5,))


def test_one_by_one_together_and_in_small_pieces_is_the_same(
    loaded: Loader, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = list(open_corpus(trained.corpus))[:5]
    predictor = loaded("late")
    together = predictor.predict_many(utterances)
    alone = [predictor.predict_many([each])[0] for each in utterances]
    steps: list[tuple[int, int]] = []
    monkeypatch.setattr("mer.predict.predictor.CHUNK_SECONDS", 0.7)
    pieces = predictor.predict_many(utterances, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (5, 5)
    assert len(steps) > 2
    for first, *others in zip(together, alone, pieces, strict=True):
        assert isinstance(first, Prediction)
        for other in others:
            assert isinstance(other, Prediction)
            assert other.id == first.id
            np.testing.assert_allclose(list(other.logits.values()), list(first.logits.values()), rtol=1e-4, atol=1e-5)


def test_threads_can_share_a_predictor(loaded: Loader, trained: Any) -> None:
    utterances = list(open_corpus(trained.corpus))[:4]
    predictor = loaded("coattention")
    expected = predictor.predict_many(utterances)
    found: dict[int, Any] = {}

    def ask(number: int) -> None:
        found[number] = predictor.predict_many(utterances)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == expected for each in found.values())
    assert len(found) == 3


class BusyEngine:
    """Remembers whether two threads were in it at the same time."""

    hears = reads = aligns = by_speaker = False
    aligned_by = "corpus"

    def hear(self, chunks: Sequence[Sequence[Utterance]]) -> None:
        """Nothing is asked of all recordings of a call."""

    def __init__(self) -> None:
        self.inside, self.most = 0, 0

    def answer(self, utterances: Sequence[Utterance]) -> dict[str, Answer | str]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.02)
        self.inside -= 1
        return {each.id: Answer(logits=np.zeros((1, 2)), seconds=0.0, notes=()) for each in utterances}


def test_threads_take_turns(tmp_path: Path) -> None:
    engine = BusyEngine()
    predictor = Predictor(
        engine, ("a", "b"), [("1", 0)], source=Source(folder=Path("nowhere"), origin="nowhere"), max_seconds=60.0, aligner=None
    )
    threads = [threading.Thread(target=predictor.predict, args=(tmp_path / "none.wav", "text")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.most == 1


def test_answers_and_refusals_come_in_the_order_of_the_recordings(loaded: Loader, clips: Path) -> None:
    order = ("other", "silent", "good", "broken")
    found = loaded("late").predict_many([recording(next(clips.glob(f"{name}.[wf]*")), "leave me alone") for name in order])
    assert [(each.id, isinstance(each, Failure)) for each in found] == [(name, name in ("silent", "broken")) for name in order]


def halves(wave: np.ndarray, text: str) -> Alignment:
    if "noon" in text:
        raise AlignmentError("the text does not belong to the audio")
    middle, end = len(wave) // 32, len(wave) // 16
    both = (Segment("a", 0, middle), Segment("b", middle, end))
    return Alignment(phones=both, syllables=both, words=both)


def test_an_alignment_is_made_where_the_head_needs_it(loaded: Loader, clips: Path) -> None:
    whole = loaded("linear").predict(clips / "other.wav", "leave me alone")
    timed = loaded("linear", aligner=halves).predict(clips / "other.wav", "leave me alone")
    failed = loaded("linear", aligner=halves).predict(clips / "other.wav", "noon")
    assert "no alignment" in whole.notes[0]
    assert timed.notes == ()
    assert "not aligned: the text does not belong to the audio" in failed.notes[0]
    assert len(failed.notes) == 1
    assert failed.logits == whole.logits
    assert timed.logits != whole.logits


def test_a_recording_keeps_the_alignment_that_it_brings(loaded: Loader, trained: Any) -> None:
    utterance = next(each for each in open_corpus(trained.corpus) if each.alignment is not None)
    assert loaded("linear").predict_many([utterance]) == loaded("linear", aligner=halves).predict_many([utterance])


class OwnTimes:
    """Times of the corpus' own files."""

    kind = "corpus"
    paths: tuple[Path, ...] = ()

    def read(self) -> Alignment:
        one = (Segment("a", 100, 200),)
        return Alignment(phones=one, syllables=one, words=one)


@pytest.mark.parametrize("aligned_by", ["corpus", "pocketsphinx"])
def test_a_run_trained_on_pocketsphinx_takes_its_times_instead_of_the_corpus_own(
    aligned_by: str, trained: Any, tmp_path: Path, clips: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained.runs["linear"], copy)
    values = json.loads((copy / "result.json").read_text())
    values["features"]["segments"]["alignment"] = aligned_by
    (copy / "result.json").write_text(json.dumps(seal(values)))
    predictor = load(copy, speech_model=str(trained.speech), device="cpu", aligner=halves)
    clip = recording(clips / "other.wav", "leave me alone")
    own = dataclasses.replace(clip, alignment=OwnTimes())
    assert predictor.needs_aligner([own]) == (aligned_by == "pocketsphinx")
    assert (predictor.predict_many([own]) == predictor.predict_many([clip])) == (aligned_by == "pocketsphinx")


@pytest.mark.parametrize("command", ["predict", "export"])
def test_help_does_not_wait_for_torch(command: str) -> None:
    code = f"import sys; from typer.testing import CliRunner; from mer.cli import app; r = CliRunner().invoke(app, ['{command}', "
    code += "'--help']); assert r.exit_code == 0, r.output; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_text_head_needs_no_audio(loaded: Loader, trained: Any, clips: Path) -> None:
    predictor = loaded("text", speech_model=None)
    found = predictor.predict(clips / "there is none.wav", "leave me alone")
    assert found.seconds == 0.0
    result = run(app, [*arguments(trained, "text"), "--text", "leave me alone", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["predictions"][0]["probabilities"] == pytest.approx(found.probabilities, abs=1e-6)


def test_long_audio_is_cut_where_training_cut_it_and_that_is_said(loaded: Loader, clips: Path) -> None:
    found = loaded("finetuned").predict(clips / "long.wav", "leave me alone")
    assert found.notes == ("cut at 0.55 s, as in training",)
    assert found.seconds == 0.55


def test_the_table_shows_percent_and_notes(trained: Any, clips: Path) -> None:
    given = [
        "--wav",
        str(clips / "good.flac"),
        "--text",
        "leave me alone",
        "--fold",
        "1",
        "--seed",
        "0",
        "--labels",
        "sad,happy, angry",
    ]
    result = run(app, [*arguments(trained, "late-of-all"), *given, "--alignment", "none"])
    assert result.exit_code == 0, result.output
    assert re.search(r"good\s.*\d\d?\.\d\s.*100", result.stdout)
    for shown in ("mean over 1 run;", "good: downmixed from 2 channels", "good: no alignment"):
        assert shown in result.stdout


def test_an_id_may_not_be_used_twice(loaded: Loader, clips: Path) -> None:
    with pytest.raises(PredictError, match="id 'other' is used twice"):
        loaded("late").predict_many([recording(clips / "other.wav", "a"), recording(clips / "other.wav", "b")])
    with pytest.raises(PredictError, match=r"silent.wav: silence"):
        loaded("late").predict(clips / "silent.wav", "a")
    (found,) = loaded("late").predict_many([recording(clips / "silent.wav", "a")])
    assert isinstance(found, Failure)


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(seal(json.loads(file.read_text()) | values)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: shutil.rmtree(run), "no such folder"),
        (lambda run: (run / "result.json").unlink(), "neither a run directory"),
        (lambda run: ((run / "result.json").unlink(), (run / "finished").mkdir()), "is not finished; give the command"),
        (lambda run: (run / "result.json").write_text("{"), "is damaged, or no JSON file"),
        (lambda run: edit(run / "result.json", format=99), "format 99, and this version of mer reads 1"),
        (lambda run: edit(run / "result.json", config={"fusion": "late", "magic": 1}), "not those of this version of mer"),
        (lambda run: (run / "weights" / "fold1-seed0.safetensors").unlink(), "1 of 6 runs have no weights"),
        (
            lambda run: (run / "weights" / "fold1-seed0.safetensors").write_text("x"),
            r"fold1-seed0.safetensors: damaged or not its own: expected",
        ),
        (lambda run: swap(run), r"fold1-seed0.safetensors: damaged or not its own: expected"),
    ],
)
def test_a_run_directory_that_cannot_answer_says_why(
    damage: Callable[[Path], Any], message: str, trained: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained.runs["late"], copy)
    shutil.copy(trained.runs["text"] / "weights" / "fold1-seed0.safetensors", tmp_path)
    damage(copy)
    with pytest.raises((PredictError, ResultError), match=message):
        load(copy, speech_model=str(trained.speech), text_model=str(trained.text), device="cpu")


def swap(copy: Path) -> None:
    """Weights of another head."""
    shutil.copy(copy.parent / "fold1-seed0.safetensors", copy / "weights" / "fold1-seed0.safetensors")


def test_a_result_of_an_earlier_version_says_so(trained: Any, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained.runs["late"], copy)
    values = json.loads((copy / "result.json").read_text())
    del values["features"]
    (copy / "result.json").write_text(json.dumps(seal(values)))
    with pytest.raises(PredictError, match="trained by an earlier mer"):
        load(copy)


def test_multi_level_fusion_needs_its_two_heads_beside_it(trained: Any, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained.runs["multi-level"], copy)
    with pytest.raises(PredictError, match="keep the three folders side by side"):
        load(copy)


def test_encoders_other_than_those_of_training_are_refused(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "narrow-wav2vec2"
    shutil.copytree(trained.speech, other)
    edit(other / "preprocessor_config.json", do_normalize=False)
    with pytest.raises(
        PredictError, match=r"not the encoder that .* was trained behind, narrow-wav2vec2 \(different: normalize\)"
    ):
        load(trained.runs["late"], speech_model=str(other), text_model=str(trained.text), device="cpu")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = r"needs the encoders .*narrow-wav2vec2 was a folder.*`--speech-model DIR` \(weights sha256 [0-9a-f]{12}\)\. The hub"
    shutil.copytree(trained.runs["late"], tmp_path / "far" / "from" / "its" / "encoders")
    with pytest.raises(PredictError, match=said):
        load(tmp_path / "far" / "from" / "its" / "encoders", device="cpu")


def test_encoders_that_were_folders_are_found_from_the_run_and_move_with_it(
    loaded: Loader, trained: Any, clips: Path, tmp_path: Path
) -> None:
    run, clip = trained.runs["late"], recording(clips / "other.wav", "leave me alone")
    assert load(run, device="cpu").predict_many([clip]) == loaded("late").predict_many([clip])
    root = Path(os.path.commonpath([run, trained.speech, trained.text]))
    for place in (run, trained.speech, trained.text):
        shutil.copytree(place, tmp_path / place.relative_to(root))
    moved = tmp_path / run.relative_to(root)
    assert load(moved, device="cpu").predict_many([clip]) == loaded("late").predict_many([clip])
    edit(tmp_path / trained.speech.relative_to(root) / "preprocessor_config.json", do_normalize=False)
    with pytest.raises(PredictError, match=r"not the encoder that .* was trained behind.*different: normalize"):
        load(moved, device="cpu")
    shutil.rmtree(moved / "weights")
    (moved / "provenance.json").write_text("[1")
    with pytest.raises(PredictError, match="have no weights"):
        load(moved, device="cpu")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "give either a folder or list of recordings, or --wav with --text"),
        (["clips", "--wav", "x.wav"], "give either a folder or list"),
        (["clips"], "nothing there"),
        (["--wav", "x.wav", "--labels", "angry, neutral"], "answers with angry, happy, sad, and angry, neutral were asked for"),
        (["--wav", "x.wav", "--seed", "one"], "expected numbers and ranges such as"),
        (["--wav", "x.wav", "--alignment", "magic"], "unknown alignment 'magic': expected one of"),
    ],
)
def test_wrong_options_are_refused_with_exit_2(given: list[str], message: str, trained: Any) -> None:
    result = run(app, [*arguments(trained, "late"), *given])
    assert result.exit_code == 2, result.output
    assert message in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())
