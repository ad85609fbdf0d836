import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from mer.corpus import Corpus
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.events import EpochDone, FinetuningStarted, RunStarted, StepDone
from mer.finetune.meter import FinetuneMeter
from mer.finetune.model_folder import load_model
from mer.finetune.run import Storage, finetune, row_name, row_slug
from mer.finetune.trainer import train_run
from mer.protocol import ProtocolError
from mer.results import RunDone
from mer.results.errors import ResultError
from mer.tests.finetune.conftest import QUICK

NarrowConfig = Callable[..., FinetuneConfig]


def place(step: StepDone) -> tuple[str, int, int]:
    return step.fold, step.epoch, step.step


def stop_when(happens: Callable[[Any], bool]) -> Callable[[Any], None]:
    def listen(event: Any) -> None:
        if happens(event):
            raise KeyboardInterrupt

    return listen


def test_a_result_is_what_tables_and_comparisons_read(corpus: Corpus, narrow_config: NarrowConfig, tmp_path: Path) -> None:
    config = narrow_config(aux="1+2", max_seconds=0.25, **QUICK)
    events: list[Any] = []
    result = finetune(corpus, config, Storage(runs=tmp_path), progress=events.append, command="mer finetune")
    assert not result.reused
    assert result.directory.name.startswith("noise-finetune-ca1-aux1+2-")
    values = result.values
    assert json.loads((result.directory / "result.json").read_text()) == values
    assert values["summary"]["runs"] == 2
    assert values["summary"]["folds"] == ["1", "2"]
    assert values["summary"]["all"]["utterances"] == 16
    assert values["branches"] == ["speech", "text"]
    assert (values["name"], values["synthetic"], values["failed_runs"]) == ("CA K=1 + aux 1+2", True, [])
    # 1,600 + 400 n samples: of 8 in a session that with n = 6 has just 0.25 s, and that with n = 7 is longer.
    assert values["utterances"] == {
        "used": 24, "other_labels": 0, "by_other_label": {}, "failed_extraction": 0, "left_out": [], "cut": 3,
    }  # fmt: skip
    with (result.directory / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows if row["fold"] == "2"] == [f"s2-{number}" for number in range(8)]
    assert {row["label"] for row in rows} == {"angry", "happy", "sad", "neutral"}
    logits = load_file(result.directory / "logits.safetensors")
    assert {name: value.shape for name, value in logits.items()} == {"fold1-seed0": (8, 4), "fold2-seed0": (8, 4)}
    epochs = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    assert [(each["fold"], each["epoch"]) for each in epochs] == [("1", 1), ("1", 2), ("2", 1), ("2", 2)]
    steps = [json.loads(line) for line in (result.directory / "steps.jsonl").read_text().splitlines()]
    assert len(steps) == sum(isinstance(event, StepDone) for event in events)
    assert all(each["aux1_loss"] > 0 and each["main_loss"] > 0 for each in steps)
    assert not (result.directory / "unfinished").exists()
    assert not (result.directory / "finished").exists()
    (provenance,) = json.loads((result.directory / "provenance.json").read_text())
    assert provenance["command"] == "mer finetune"
    started = events[0]
    assert (started.runs, started.finished, started.utterances, started.cut) == (2, 0, 24, 3)
    assert [event.over for event in events if isinstance(event, RunDone)] == [1, 2]


def test_the_weights_that_are_kept_are_those_that_were_tested(
    corpus: Corpus, narrow_config: NarrowConfig, tmp_path: Path
) -> None:
    from mer.finetune.collate import BatchReader

    config = narrow_config(fusion_layers=2, **QUICK)
    result = finetune(corpus, config, Storage(runs=tmp_path))
    saved = load_model(result.directory / "weights" / "fold2-seed0")
    assert saved.classes == ("angry", "happy", "sad", "neutral")
    assert (saved.identity["corpus"], saved.identity["fold"], saved.identity["seed"]) == ("noise", "2", 0)
    rows = [row for row, utterance in enumerate(corpus) if utterance.session == "2"]
    reader = BatchReader(corpus.utterances, np.zeros(24, dtype=np.int64), rows, saved.encoders, config)
    here = saved.model(reader.read(rows)).logits.detach().numpy()
    np.testing.assert_allclose(here, load_file(result.directory / "logits.safetensors")["fold2-seed0"], atol=1e-5)


def test_a_finished_result_is_returned_without_training(corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path) -> None:
    first = finetune(corpus, text_row, Storage(runs=tmp_path))
    events: list[Any] = []
    again = finetune(corpus, replace(text_row, workers=1, keep=2), Storage(runs=tmp_path), progress=events.append)
    assert again.reused
    assert (again.directory, again.values) == (first.directory, first.values)
    assert events == []


@pytest.mark.parametrize("fold", ["1", "2"])
def test_an_interrupted_result_goes_on_and_ends_as_an_uninterrupted_one(
    fold: str, corpus: Corpus, narrow_config: NarrowConfig, tmp_path: Path
) -> None:
    config = narrow_config(aux="1+2", **QUICK, checkpoint_minutes=0.0)
    whole = finetune(corpus, config, Storage(runs=tmp_path / "whole"))
    cut = Storage(runs=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        finetune(
            corpus,
            config,
            cut,
            progress=stop_when(
                lambda event: isinstance(event, StepDone) and (event.fold, event.epoch, event.step) == (fold, 2, 2)
            ),
        )
    events: list[Any] = []
    resumed = finetune(corpus, config, cut, progress=events.append)
    assert events[0].finished == int(fold) - 1
    (going_on,) = [event for event in events if isinstance(event, RunStarted) and event.fold == fold]
    assert going_on.resumed is not None
    assert going_on.resumed[0] == 2
    for name in ("predictions.csv", "logits.safetensors"):
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes()
    for name in ("fold1-seed0", "fold2-seed0"):
        here, there = ((each.directory / "weights" / name / "model.safetensors").read_bytes() for each in (resumed, whole))
        assert here == there
    assert resumed.values["summary"] == whole.values["summary"]
    lines = [
        [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in file.read_text().splitlines()]
        for file in (resumed.directory / "metrics.jsonl", whole.directory / "metrics.jsonl")
    ]
    assert lines[0] == lines[1]


def test_without_resume_an_interrupted_run_begins_anew(corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path) -> None:
    config = replace(text_row, checkpoint_minutes=0.0, folds=("1",))
    with pytest.raises(KeyboardInterrupt):
        finetune(corpus, config, Storage(runs=tmp_path), progress=stop_when(lambda event: isinstance(event, EpochDone)))
    assert list(tmp_path.glob("*/unfinished/*"))
    events: list[Any] = []
    finetune(corpus, config, Storage(runs=tmp_path, resume=False), progress=events.append)
    assert [event.resumed for event in events if isinstance(event, RunStarted)] == [None]


def test_a_run_that_diverges_is_recorded_and_the_others_go_on(
    corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(*arguments: Any) -> Any:
        if arguments[4].test_session == "1":
            raise DivergedError("the loss is nan")
        return train_run(*arguments)

    monkeypatch.setattr("mer.finetune.run.train_run", diverging)
    events: list[Any] = []
    result = finetune(corpus, text_row, Storage(runs=tmp_path), progress=events.append)
    assert result.values["failed_runs"] == [{"fold": "1", "seed": 0, "reason": "the loss is nan"}]
    assert result.values["summary"]["folds"] == ["2"]
    assert [event.failure for event in events if isinstance(event, RunDone)] == ["the loss is nan", None]
    with pytest.raises(DivergedError, match="no run ended with a number; first: the loss is nan"):
        finetune(corpus, replace(text_row, folds=("1",)), Storage(runs=tmp_path))


def test_another_error_ends_the_command_and_keeps_what_is_finished(
    corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> Any:
        if arguments[4].test_session == "2":
            raise FinetuneError("out of memory")
        return train_run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("mer.finetune.run.train_run", failing)
        with pytest.raises(FinetuneError, match="out of memory") as problem:
            finetune(corpus, text_row, Storage(runs=tmp_path))
    assert problem.value.__notes__ == ["in this process"]
    events: list[Any] = []
    finetune(corpus, text_row, Storage(runs=tmp_path), progress=events.append)
    assert events[0].finished == 1
    assert [event.fold for event in events if isinstance(event, RunStarted)] == ["2"]


def test_what_cannot_be_read_is_left_out_and_told(corpus: Corpus, narrow_config: NarrowConfig, tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(200, dtype=np.float32), 16_000)
    changes: dict[int, dict[str, Any]] = {
        3: {"text": None},
        9: {"wav": tmp_path / "none.wav"},
        17: {"wav": short},
        20: {"label": "dis"},
    }
    damaged = replace(
        corpus, utterances=tuple(replace(each, **changes.get(row, {})) for row, each in enumerate(corpus.utterances))
    )
    events: list[Any] = []
    config = narrow_config(**QUICK | {"folds": ("1",), "epochs": 1})
    values = finetune(damaged, config, Storage(runs=tmp_path), progress=events.append).values
    assert values["utterances"]["used"] == 20
    assert values["utterances"]["by_other_label"] == {"dis": 1}
    told = {each["id"]: each["reason"] for each in values["utterances"]["left_out"]}
    assert list(told) == ["s1-3", "s2-1", "s3-1"]
    assert told["s1-3"] == "no transcript"
    assert "none.wav" in told["s2-1"]
    assert told["s3-1"].startswith("0.0125 s of audio, less than a frame")
    assert dict(events[0].left_out) == told
    # A row reads only what it uses.
    text = finetune(damaged, replace(config, modality="text"), Storage(runs=tmp_path)).values["utterances"]
    assert [each["id"] for each in text["left_out"]] == ["s1-3"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"folds": ("1", "9")}, ProtocolError, "no session 9 to test on, only 1, 2, 3"),
        ({"classes": "as-is", "text_model": "nowhere/none"}, FinetuneError, "nowhere/none"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
    corpus: Corpus,
    text_row: FinetuneConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=message):
        finetune(corpus, replace(text_row, **settings), Storage(runs=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_without_an_utterance_to_train_on_says_why(corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path) -> None:
    silent = replace(corpus, utterances=tuple(replace(each, text=None) for each in corpus.utterances))
    with pytest.raises(FinetuneError, match="'noise' has no utterance to train on; first: s1-0: no transcript"):
        finetune(silent, text_row, Storage(runs=tmp_path))


def test_two_commands_do_not_train_one_result(corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path) -> None:
    def second(event: Any) -> None:
        if isinstance(event, FinetuningStarted):
            with pytest.raises(ResultError, match="another command is training this"):
                finetune(corpus, text_row, Storage(runs=tmp_path))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(corpus, text_row, Storage(runs=tmp_path), progress=second)


def test_settings_that_a_row_does_not_use_name_no_other_result(narrow_config: NarrowConfig) -> None:
    text, both = narrow_config(modality="text"), narrow_config()
    assert replace(text, fusion_layers=3, fusion="fc", max_seconds=3.0, speech_model="x", keep=3).identity() == text.identity()
    assert replace(both, aux_weights=(0.0, 2.0), checkpoint_minutes=1.0).identity() == both.identity()
    for settings in ({"fusion_layers": 2}, {"aux": "1"}, {"seeds": (0,)}, {"max_seconds": 3.0}, {"encoder_rate": 1e-4}):
        assert replace(both, **settings).identity() != both.identity()
    assert replace(both, aux="1", aux_weights=(0.5, 1.0)).identity() != replace(both, aux="1").identity()


def test_rows_have_names_and_folders_have_them_too(narrow_config: NarrowConfig) -> None:
    rows: list[dict[str, Any]] = [
        {"modality": "speech"},
        {"fusion": "fc"},
        {"fusion_layers": 3},
        {"fusion_layers": 2, "aux": "1+2"},
    ]
    configs = [narrow_config(**row) for row in rows]
    assert [row_name(config) for config in configs] == ["speech", "FC", "CA K=3", "CA K=2 + aux 1+2"]
    assert [row_slug(config) for config in configs] == ["speech", "fc", "ca3", "ca2-aux1+2"]


def test_the_meter_counts_what_was_done_before_as_neither_done_nor_to_do() -> None:
    meter = FinetuneMeter()
    started: dict[str, Any] = {"epochs": 2, "device": "cpu", "processes": 1, "utterances": 9, "seconds": None, "cut": 0}
    meter.take(FinetuningStarted(runs=4, finished=1, left_out=(), **started))
    assert (meter.done, meter.to_do) == (0, 3 / 4)
    run: dict[str, Any] = {"fold": "1", "seed": 0, "epochs": 2}
    told: dict[str, Any] = {
        "device": "cpu",
        "precision": "float32",
        "processes": 1,
        "utterances": {},
        "cut": {},
        "steps": 5,
        "pass_seconds": 60.0,
    }
    meter.take(RunStarted(**run, **told, resumed=(2, 0)))
    assert meter.to_do == 2.5 / 4
    absent: dict[str, Any] = dict.fromkeys(
        ("aux1_loss", "aux2_loss", "lonely_share", "unchanged_share", "same_class_share", "seconds_left")
    )
    names = ("loss", "main_loss", "gradient_norm", "rate_factor", "audio_seconds_per_second")
    numbers: dict[str, Any] = dict.fromkeys(names, 1.0)
    meter.take(StepDone(**run, epoch=2, step=2, steps=5, memory=1, **numbers, **absent))
    assert meter.done == pytest.approx(0.2 / 4)
    meter.take(RunDone(run=2, runs=4, over=2, fold="1", seed=0, best_epoch=1, ua=0.5, failure=None))
    assert meter.done == 0.5 / 4
