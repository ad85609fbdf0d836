"""A damaged record of a run is a run that is not finished: it alone is trained again, with the same numbers."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mer.heads import Event, HeadConfig, RunDone, train_head
from mer.results.errors import ResultError

CONFIG = HeadConfig(granularities=("F",), hidden=8, max_epochs=2, learning_rate=0.02, batch=8, seeds=(0,), device="cpu")
RECORD = "finished/fold2-seed0.json"


def edited(**values: Any) -> Callable[[Path], Any]:
    """Other values, as a version without a hash of the record would write them."""

    def harm(file: Path) -> None:
        document = json.loads(file.read_text()) | values
        del document["self_sha256"]
        file.write_text(json.dumps(document))

    return harm


DAMAGES: list[Callable[[Path], Any]] = [
    lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(file.read_bytes()[:-40]),
    lambda file: file.write_bytes(b"\xff\x00" * 300),
    lambda file: file.write_text("[]"),
    lambda file: file.write_text(file.read_text().replace('"best_epoch": ', '"best_epoch": 1')),
    edited(logits="x"),
    edited(logits=[[0.0]]),
    edited(truth=None),
    edited(epochs=[{"epoch": 1}]),
    edited(best_epoch=9),
    edited(more=1),
    lambda file: shutil.copy(file.with_name("fold1-seed0.json"), file),
]


def note(trained: list[str], event: Event) -> None:
    if isinstance(event, RunDone):
        trained.append(event.fold)


def test_a_damaged_record_is_trained_again_alone(make_cache: Callable[..., Any], tmp_path: Path) -> None:
    cache = make_cache()
    whole = train_head(cache, CONFIG, tmp_path / "whole")

    def interrupt(event: Event) -> None:
        if isinstance(event, RunDone) and event.over == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_head(cache, CONFIG, tmp_path / "parts", progress=interrupt)
    for number, damage in enumerate(DAMAGES):
        runs = Path(shutil.copytree(tmp_path / "parts", tmp_path / str(number)))
        damage(runs / whole.directory.name / RECORD)
        (runs / whole.directory.name / "failed").mkdir()
        (runs / whole.directory.name / "failed" / "fold2-seed0.json").write_text('{"fold": 2')
        trained: list[str] = []
        again = train_head(cache, CONFIG, runs, progress=partial(note, trained))
        assert trained == ["2"], number
        for name in ("predictions.csv", "logits.safetensors", "metrics.jsonl", "weights/fold2-seed0.safetensors"):
            assert (again.directory / name).read_bytes() == (whole.directory / name).read_bytes()


@pytest.mark.parametrize("name", ["result.json", "config.json", "provenance.json"])
def test_a_damaged_document_stops_a_training_before_it_begins(name: str, make_cache: Callable[..., Any], tmp_path: Path) -> None:
    cache = make_cache()
    result = train_head(cache, CONFIG, tmp_path)
    file = result.directory / name
    file.write_bytes(file.read_bytes()[:-20])
    if name == "provenance.json":
        (result.directory / "result.json").unlink()
    with pytest.raises(ResultError, match=name):
        train_head(cache, CONFIG, tmp_path)
