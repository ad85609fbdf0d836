import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.corpus import Corpus
from mer.finetune.config import FinetuneConfig
from mer.finetune.events import EpochDone, RunStarted, StepDone, TrackingFailed
from mer.finetune.run import Storage, finetune
from mer.tests.tracking.test_heads_are_tracked import Failing
from mer.tests.tracking.told import Told, told
from mer.tracking import TRACKERS


def one_fold(row: FinetuneConfig, **settings: Any) -> FinetuneConfig:
    return replace(row, folds=("1",), **settings)


def check(found: dict[str, Told], directory: Path, values: Any) -> None:
    """Every step and epoch once, as the run directory has it; TensorBoard keeps float32."""
    assert set(found) == {"fold1-seed0", "result"}
    run = found["fold1-seed0"]
    steps = {(each["epoch"] - 1) * each["steps"] + each["step"]: each for each in lines(directory / "steps.jsonl")}
    epochs = lines(directory / "metrics.jsonl")
    for name in ("loss", "main_loss", "gradient_norm", "rate_factor"):
        assert [place for place, _ in run.curves[name]] == sorted(steps)
        np.testing.assert_allclose([value for _, value in run.curves[name]], [steps[n][name] for n in sorted(steps)], rtol=1e-6)
    for name in ("train_loss", "validation_ua", "validation_loss"):
        assert [place for place, _ in run.curves[f"epoch/{name}"]] == [1, 2]
        np.testing.assert_allclose(
            [value for _, value in run.curves[f"epoch/{name}"]], [epoch[name] for epoch in epochs], rtol=1e-6
        )
    (row,) = values["runs"]
    ((place, drawn),) = run.curves["test/ua"]
    assert place == 2
    assert drawn == pytest.approx(row["ua"], rel=1e-7)
    assert found["result"].last("test/wa/merged") == pytest.approx(values["summary"]["all"]["wa"]["merged"], rel=1e-7)
    assert run.settings["modality"] == "text"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("track", ["tensorboard", "wandb", "mlflow"])
def test_a_run_that_goes_on_goes_on_in_its_tracked_run_and_tells_nothing_twice(
    track: str, corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path, offline: Path
) -> None:
    config = one_fold(text_row, track=track, checkpoint_minutes=0.0)

    def stop(event: Any) -> None:
        if isinstance(event, StepDone) and (event.epoch, event.step) == (2, 1):
            (unfinished,) = tmp_path.glob("runs/*/unfinished")
            shutil.copytree(unfinished, tmp_path / "earlier")
        if isinstance(event, StepDone) and (event.epoch, event.step) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(corpus, config, Storage(runs=tmp_path / "runs"), progress=stop)
    # As after a kill: the last checkpoint is older than what was told, which is trained again.
    (unfinished,) = tmp_path.glob("runs/*/unfinished")
    shutil.rmtree(unfinished)
    shutil.copytree(tmp_path / "earlier", unfinished)
    events: list[Any] = []
    result = finetune(corpus, config, Storage(runs=tmp_path / "runs"), progress=events.append)
    (going_on,) = [event for event in events if isinstance(event, RunStarted)]
    assert going_on.resumed is not None
    assert sum(isinstance(event, StepDone) and (event.epoch, event.step) == (2, 2) for event in events) == 1
    found = told(track, result.directory)
    assert found["fold1-seed0"].parts == {"tensorboard": 2, "wandb": 2, "mlflow": 1}[track]
    check(found, result.directory, result.values)


def test_a_run_that_begins_anew_is_another_tracked_run(
    corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path, offline: Path
) -> None:
    config = one_fold(text_row, track="tensorboard", checkpoint_minutes=0.0)

    def stop(event: Any) -> None:
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(corpus, config, Storage(runs=tmp_path), progress=stop)
    result = finetune(corpus, config, Storage(runs=tmp_path, resume=False))
    check(told("tensorboard", result.directory), result.directory, result.values)


def test_a_tracker_that_fails_in_the_middle_ends_no_training_and_hears_the_rest_in_the_end(
    corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Failing(2)
    monkeypatch.setitem(TRACKERS._entries, "failing", tracker)
    events: list[Any] = []

    def listen(event: Any) -> None:
        events.append(event)
        if isinstance(event, TrackingFailed):
            tracker.left = 99

    result = finetune(corpus, one_fold(text_row, track="failing"), Storage(runs=tmp_path), progress=listen)
    (failed,) = [event for event in events if isinstance(event, TrackingFailed)]
    assert (failed.tracker, failed.reason) == ("failing", "ConnectionError: nobody answers")
    found = told("tensorboard", result.directory)["fold1-seed0"]
    assert [place for place, _ in found.curves["epoch/train_loss"]] == [1, 2]
    assert found.last("test/ua") == pytest.approx(result.values["runs"][0]["ua"])
    assert [place for place, _ in found.curves["loss"]] == [1, 2]


def test_tracking_changes_no_byte_and_no_name(corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path, offline: Path) -> None:
    plain = finetune(corpus, one_fold(text_row), Storage(runs=tmp_path / "plain"))
    tracked = finetune(corpus, one_fold(text_row, track="tensorboard"), Storage(runs=tmp_path / "tracked"))
    assert plain.directory.name == tracked.directory.name
    for name in ("config.json", "predictions.csv", "logits.safetensors", "weights/fold1-seed0/model.safetensors"):
        assert (plain.directory / name).read_bytes() == (tracked.directory / name).read_bytes()
    assert plain.values["config"] == tracked.values["config"]
    assert plain.values["summary"] == tracked.values["summary"]
