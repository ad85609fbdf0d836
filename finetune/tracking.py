"""Every step of a training as a line of `steps.jsonl`, and as curves of TensorBoard where they are asked for."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mer.files import append_line
from mer.finetune.errors import FinetuneError
from mer.finetune.events import EpochDone, Event, RunStarted, StepDone
from mer.results.names import run_stem

PLACE = ("fold", "seed", "epochs", "steps")
"""Fields of a step that are no curve."""


def check_tracking(track: str | None) -> None:
    """Refuse what cannot be tracked with, before anything is trained.

    Raises:
        FinetuneError: another tracker than TensorBoard, or TensorBoard is not installed.
    """
    if track is None:
        return
    if track != "tensorboard":
        raise FinetuneError(f"track {track!r}: expected tensorboard; steps.jsonl and metrics.jsonl are always written")
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise FinetuneError(
            "track tensorboard: the package tensorboard is not installed; `pip install tensorboard`, or leave --track away: "
            "steps.jsonl and metrics.jsonl are always written"
        ) from None


class Tracker:
    """Keeps what the runs of one result report, in their run directory."""

    def __init__(self, directory: Path, track: str | None) -> None:
        """Nothing is opened yet.

        Args:
            directory: the run directory.
            track: `tensorboard`, or None.
        """
        self._directory, self._track = directory, track
        self._writer: Any = None

    def take(self, event: Event) -> None:
        """Keep a step or an epoch."""
        match event:
            case RunStarted():
                self._open(event)
            case StepDone():
                append_line(self._directory / "steps.jsonl", json.dumps(asdict(event), allow_nan=False) + "\n")
                done = (event.epoch - 1) * event.steps + event.step
                self._draw({key: value for key, value in asdict(event).items() if key not in (*PLACE, "epoch", "step")}, done)
            case EpochDone():
                values = {f"epoch/{key}": value for key, value in asdict(event.epoch).items() if key != "epoch"}
                self._draw(values, event.epoch.epoch)
            case _:
                pass

    def close(self) -> None:
        """Finish the curves of a run."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, event: RunStarted) -> None:
        self.close()
        if self._track is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        epoch, steps = event.resumed or (1, 0)
        # What came after the checkpoint is trained again, and would be drawn twice.
        folder = self._directory / "tensorboard" / run_stem(event.fold, event.seed)
        self._writer = SummaryWriter(str(folder), purge_step=(epoch - 1) * event.steps + steps + 1 if event.resumed else None)

    def _draw(self, values: Mapping[str, Any], step: int) -> None:
        if self._writer is None:
            return
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)
