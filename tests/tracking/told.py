"""What trackers were told, read from what they keep: of each run its settings, and each curve as a list of (place, value)."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import wandb

BLOCK = 32_768
FULL, FIRST, LAST = 1, 2, 4
"""Kinds of pieces of a record in the log that Weights & Biases keeps, which is that of LevelDB."""


@dataclass
class Told:
    """What was told of one run."""

    settings: dict[str, str] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    group: str = ""
    parts: int = 0
    """Files or folders that it lies in."""

    def last(self, name: str) -> float:
        return self.curves[name][-1][1]


def told(track: str, directory: Path) -> dict[str, Told]:
    """By the name of the run: `fold1-seed0`."""
    return {"tensorboard": of_tensorboard, "wandb": of_wandb, "mlflow": of_mlflow}[track](directory)


def of_tensorboard(directory: Path) -> dict[str, Told]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in (directory / "tensorboard").iterdir():
        curves = EventAccumulator(str(folder)).Reload()
        names = curves.Tags()["scalars"]
        (settings,) = folder.glob("*/hparams.yml")
        found[folder.name] = Told(
            settings=dict(line.split(": ", 1) for line in settings.read_text().splitlines()),
            curves={name: sorted((each.step, each.value) for each in curves.Scalars(name)) for name in names},
            group=directory.name,
            parts=len(list(folder.glob("events*"))),
        )
    return found


def of_mlflow(directory: Path) -> dict[str, Told]:
    from mlflow import MlflowClient

    client, found = MlflowClient(), {}
    (experiment,) = client.search_experiments(filter_string="name = 'mer'")
    for run in client.search_runs([experiment.experiment_id]):
        if run.data.tags["mer.result"] != directory.name:
            continue
        assert run.data.tags["mer.run"] not in found, "one run was tracked as two"
        assert run.info.status == "FINISHED"
        curves = {
            name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
        found[run.data.tags["mer.run"]] = Told(
            settings=run.data.params, curves=curves, group=run.data.tags["mer.result"], parts=1
        )
    return found


def of_wandb(directory: Path) -> dict[str, Told]:
    """All folders of one id are one run, in the order in which they were written."""
    wandb.teardown()  # its process beside this one writes on after a run is finished, until it ends itself
    by_id: dict[str, Told] = {}
    names: dict[str, str] = {}
    for file in sorted((directory / "wandb").glob("offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime_ns):
        run = by_id.setdefault(file.stem.removeprefix("run-"), Told())
        run.parts += 1
        for record in records(file):
            if record.HasField("run"):
                run.group, name = record.run.run_group, record.run.display_name
                names[file.stem.removeprefix("run-")] = name.removeprefix(f"{directory.name} ")
                run.settings |= {each.key: json.loads(each.value_json) for each in record.run.config.update}
            if record.HasField("history"):
                point = {each.key or each.nested_key[0]: json.loads(each.value_json) for each in record.history.item}
                place = point["epoch" if "epoch" in point else "step"]
                for key, value in point.items():
                    if not key.startswith("_") and key not in ("epoch", "step"):
                        run.curves.setdefault(key, []).append((place, value))
    assert len(set(names.values())) == len(by_id), "one run was tracked as two"
    return {names[name]: run for name, run in by_id.items()}


def records(file: Path) -> Iterator[Any]:
    """The records of an offline run of Weights & Biases: pieces with a header of 7 bytes in blocks, after 7 bytes of its own."""
    wandb_internal_pb2: Any = import_module("wandb.proto.wandb_internal_pb2")
    image, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(image):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", image, place + 4)
        piece = image[place + 7 : place + 7 + length]
        place += 7 + length
        whole = piece if kind in (FULL, FIRST) else whole + piece
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
