"""A run that leaves its machine: what is written, and that it answers the same from there."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.predict import PredictError, Prediction, Predictor, export_run, load
from mer.results.errors import ResultError
from mer.results.file_hashes import seal

Loader = Callable[..., Predictor]


def export(trained: Any, name: str, folder: Path, **settings: Any) -> Any:
    encoders = {} if name == "finetuned" else {"speech_model": str(trained.speech), "text_model": str(trained.text)}
    return export_run(trained.runs[name], folder, **{**encoders, **settings})


@pytest.mark.parametrize("name", ["late", "text", "multi-level", "finetuned"])
def test_an_exported_folder_answers_as_the_run_does_without_its_encoders_or_its_neighbours(
    name: str, trained: Any, loaded: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = export(trained, name, tmp_path / "made" / "here")
    assert done.encoders
    away = shutil.move(done.folder, tmp_path / "away")
    utterances = list(open_corpus(trained.corpus))[3:9]
    expected, found = loaded(name).predict_many(utterances), load(away, device="cpu").predict_many(utterances)
    assert all(isinstance(each, Prediction) for each in found)
    assert found == expected
    assert len({each.stat().st_mode for each in (tmp_path / "away").rglob("*") if each.is_file()}) == 1
    assert (tmp_path / "away" / "text").exists() == (name != "finetuned")
    assert (tmp_path / "away" / "speech").exists() == (name not in ("finetuned", "text"))


def test_an_export_of_an_export_with_fewer_runs_gives_their_logits(trained: Any, tmp_path: Path) -> None:
    first = export(trained, "late", tmp_path / "first")
    second = export_run(first.folder, tmp_path / "second", folds=("2",), seeds=(1,))
    assert second.runs == ("fold2-seed1",)
    assert second.bytes < first.bytes
    (utterance,) = list(open_corpus(trained.corpus))[:1]
    (all_runs,), (one_run,) = (load(each.folder, device="cpu").predict_many([utterance]) for each in (first, second))
    assert isinstance(all_runs, Prediction)
    assert isinstance(one_run, Prediction)
    assert one_run.logits == {"fold2-seed1": pytest.approx(all_runs.logits["fold2-seed1"], rel=1e-5, abs=1e-6)}


@pytest.mark.slow
def test_a_fresh_process_answers_from_the_folder_alone(trained: Any, loaded: Loader, tmp_path: Path) -> None:
    folder = export(trained, "coattention", tmp_path / "exported").folder
    wav = tmp_path / "clip.wav"
    shutil.copy(trained.corpus.parent / "u1.wav", wav)
    expected = loaded("coattention").predict(wav, "leave me alone")
    command = [sys.executable, "-m", "mer.cli", "predict", str(folder), "--wav", str(wav), "--text", "leave me alone"]
    found = subprocess.run(
        [*command, "--alignment", "none", "--device", "cpu", "--json"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    probabilities = json.loads(found.stdout)["predictions"][0]["probabilities"]
    assert probabilities == pytest.approx(expected.probabilities, rel=1e-4)


@pytest.mark.parametrize("name", ["late", "finetuned"])
def test_the_card_says_what_was_trained_on_what_how_well_and_its_limits(name: str, trained: Any, tmp_path: Path) -> None:
    folder = export(trained, name, tmp_path / "exported").folder
    card = (folder / "README.md").read_text()
    scores = json.loads((trained.runs[name] / "result.json").read_text())["summary"]["all"]
    for shown in (
        "pipeline_tag: audio-classification",
        "angry, happy, sad",
        "`corpus`, 18 utterances",
        "`narrow-wav2vec2`, revision unknown",
        "leave one session out",
        "never on the test session",
        "fold 1 seed 0",
        f"| UA | {100 * scores['ua']['mean_of_folds']:.2f} | {100 * scores['ua']['std_folds']:.2f} |",
        f"{100 * scores['wa']['merged']:.2f} |",
        "acted speech",
        "not calibrated",
    ):
        assert shown in card
    for file in ("README.md", "config.json"):
        assert str(tmp_path.parent.parent) not in (folder / file).read_text()
        assert str(trained.speech.parent) not in (folder / file).read_text()


def test_encoders_of_the_hub_stay_there_unless_they_are_asked_for(trained: Any, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained.runs["late"], copy)
    values = json.loads((copy / "result.json").read_text())
    for name in ("speech", "text"):
        values["features"][name] |= {"revision": "abc", "model": f"people/{name}"}
    (copy / "result.json").write_text(json.dumps(seal(values)))
    without = export_run(copy, tmp_path / "without")
    card = (without.folder / "README.md").read_text()
    assert not without.encoders
    assert not (without.folder / "speech").exists()
    assert "base_model:\n- people/speech\n- people/text" in card
    assert "fetched from the Hugging Face hub" in card
    asked = export_run(
        copy, tmp_path / "with", with_encoders=True, speech_model=str(trained.speech), text_model=str(trained.text)
    )
    assert asked.encoders
    assert asked.bytes > without.bytes
    assert (
        load(asked.folder, device="cpu").runs
        == load(without.folder, speech_model=str(trained.speech), text_model=str(trained.text), device="cpu").runs
    )


def test_a_folder_in_use_and_foreign_encoders_are_refused_and_leave_nothing(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(PredictError, match="not an empty folder; give a new one"):
        export(trained, "late", tmp_path / "used")
    other = tmp_path / "other"
    shutil.copytree(trained.text, other)
    config = json.loads((other / "config.json").read_text()) | {"num_hidden_layers": 1}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(PredictError, match="not the encoder that the run was trained behind, narrow-bert"):
        export(trained, "text", tmp_path / "exported", text_model=str(other))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "used"]


def test_a_damaged_export_says_what_is_missing(trained: Any, tmp_path: Path) -> None:
    folder = export(trained, "late", tmp_path / "exported").folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": "mer-export-9"}))
    with pytest.raises(ResultError, match="format 'mer-export-9', and this version of mer reads 'mer-export-1'"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(seal(config | {"runs": [["7", 0]]})))
    with pytest.raises(ResultError, match=r"no weights named 0\.fold7-seed0\."):
        load(folder, device="cpu")
    (folder / "model.safetensors").unlink()
    with pytest.raises(PredictError, match=r"model.safetensors: not there"):
        load(folder)


def test_the_command_says_what_it_wrote(trained: Any, tmp_path: Path) -> None:
    given = ["export", str(trained.runs["text"]), str(tmp_path / "new"), "--text-model", str(trained.text)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "3 runs, with encoders" in " ".join(result.stdout.split())
    again = CliRunner().invoke(app, given)
    assert again.exit_code == 2
    assert "not an empty folder" in again.stderr
