"""Where a training stands, on disk: written whole or not at all, checked before it is used.

checkpoints/step-000123/    a folder appears by one rename, after everything in it is on the device
  model.safetensors         all weights, frozen ones included
  optimizer.safetensors     step, exp_avg and exp_avg_sq of each trained parameter
  selected.safetensors      weights of the best epoch so far; absent before there is one
  state.json                position, losses so far, config, and bytes and sha256 of the other files

No generator is in it: what is drawn depends on (seed, fold, epoch, step, utterance), so that the position says it all.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mer.files import file_sha256, make_folder, remove_folder, whole_folder
from mer.files.regular_file import read_text_file
from mer.finetune.errors import FinetuneError
from mer.finetune.losses import Sums
from mer.finetune.trained import FinetuneEpoch
from mer.results.file_hashes import is_sealed_wrongly, seal
from mer.results.shape import misfit

SHAPE = {"run": dict, "progress": {"epochs": [dict], "sums": dict}, "files": dict}
"""What `state.json` must hold beside its format."""
FILE_SHAPE = {"bytes": int, "sha256": str}
FORMAT = "mer-checkpoint-1"


@dataclass(frozen=True, kw_only=True)
class RunPosition:
    """Position of a training, and what it has found so far."""

    epoch: int = 1
    """The one that is going on, from 1."""
    step: int = 0
    """Steps of it that are done."""
    sums: Sums = dataclasses.field(default_factory=Sums)
    """Losses of these steps."""
    epochs: tuple[FinetuneEpoch, ...] = ()
    """Epochs that are over."""
    best_epoch: int = 0
    """Epoch of the weights that are selected so far; 0 for none."""
    lowest: float | None = None
    """Its validation loss."""
    seconds: float = 0.0
    """Wall time so far."""
    epoch_seconds: float = 0.0
    """Wall time of the epoch that is going on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """What a training goes on from."""

    progress: RunPosition
    """Position and losses."""
    model: Mapping[str, Tensor]
    """All weights."""
    optimizer: Mapping[str, Tensor]
    """`exp_avg.NAME` and the like."""
    selected: Mapping[str, Tensor]
    """Weights of the best epoch; empty before there is one, or where the last epoch is tested."""


class CheckpointFolder:
    """The checkpoints of one run, the newest few of them."""

    def __init__(self, folder: Path, run: Mapping[str, Any], keep: int) -> None:
        """Nothing is read or made yet.

        Args:
            folder: of the run; checkpoints go to `checkpoints/` in it.
            run: everything that decides the run's numbers, as JSON values; a checkpoint with another one is refused.
            keep: checkpoints that stay; while one is written there is one more.
        """
        self.path = folder / "checkpoints"
        self._run, self._keep = json.loads(json.dumps(run)), keep

    def write(self, checkpoint: Checkpoint, number: int) -> Path:
        """Put a checkpoint on disk, and remove those that are too many.

        Args:
            checkpoint: what to write.
            number: steps of the whole run so far; a higher one is a later one.

        Returns:
            Its folder.

        Raises:
            FinetuneError: it cannot be written, as on a full disk.
        """
        make_folder(self.path)
        final = self.path / f"step-{number:06d}"
        try:
            # What may be there is a damaged one that was passed over.
            with whole_folder(final, replace=True, alone=True) as part:
                self._fill(part, checkpoint)
        except (OSError, SafetensorError) as problem:
            raise FinetuneError(
                f"{self.path}: no checkpoint could be written ({problem}); the one before it is whole: make room, and give the "
                "same command with --resume"
            ) from problem
        for old in self._all()[self._keep :]:
            remove_folder(old)
        return final

    def newest(self, skipped: Callable[[Path, str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole; None when there is none.

        Args:
            skipped: hears of each damaged one that is passed over, and why.

        Raises:
            FinetuneError: the checkpoint is of another run: other settings, data or encoders.
        """
        for path in self._all():
            try:
                return self._read(path)
            except _DamagedError as problem:
                skipped(path, str(problem))
        return None

    def discard(self) -> None:
        """Remove every checkpoint: the run's result is on disk."""
        for path in self._all():
            remove_folder(path)
        shutil.rmtree(self.path, ignore_errors=True)

    def _fill(self, part: Path, checkpoint: Checkpoint) -> None:
        """Write every file of a checkpoint."""
        tensors = {"model": checkpoint.model, "optimizer": checkpoint.optimizer, "selected": checkpoint.selected}
        files = {}
        for name, values in tensors.items():
            if values:
                file = part / f"{name}.safetensors"
                save_file(dict(values), file)
                files[file.name] = {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        progress = dataclasses.asdict(checkpoint.progress)
        state = {"format": FORMAT, "run": self._run, "progress": progress, "files": files}
        state = seal(json.loads(json.dumps(state, allow_nan=False)))
        (part / "state.json").write_text(json.dumps(state, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def _read(self, path: Path) -> Checkpoint:
        try:
            state = json.loads(read_text_file(path / "state.json"))
        except (OSError, ValueError, RecursionError) as problem:
            raise _DamagedError(f"no readable state.json ({problem})") from problem
        if wrong := misfit(state, SHAPE):
            raise _DamagedError(f"no readable state.json ({wrong})")
        if is_sealed_wrongly(state):
            raise _DamagedError("state.json is not what was written")
        form, run, files = state.get("format"), state["run"], state["files"]
        if form != FORMAT:
            raise FinetuneError(f"{path}: checkpoint format {form!r}, this mer reads {FORMAT}; move it away to start anew")
        if run != self._run:
            raise FinetuneError(
                f"{path} is of another run: {_difference(run, self._run)}; give the settings that it was made with, "
                "or move it away to start anew"
            )
        for name, expected in files.items():
            if wrong := misfit(expected, FILE_SHAPE, name):
                raise _DamagedError(f"no readable state.json ({wrong})")
            _check_file(path / name, expected)
        try:
            found = {name: load_file(path / name) for name in files}
            return Checkpoint(
                progress=_progress(state["progress"]),
                model=found["model.safetensors"],
                optimizer=found.get("optimizer.safetensors", {}),
                selected=found.get("selected.safetensors", {}),
            )
        except (SafetensorError, KeyError, TypeError) as problem:
            raise _DamagedError(f"does not hold what a checkpoint holds ({problem!r})") from problem

    def _all(self) -> list[Path]:
        """The newest first."""
        return sorted(self.path.glob("step-*"), key=lambda path: (len(path.name), path.name), reverse=True)


class _DamagedError(Exception):
    """A checkpoint that is not whole."""


def _check_file(file: Path, expected: Mapping[str, Any]) -> None:
    if not file.is_file():
        raise _DamagedError(f"{file.name} is missing")
    size = file.stat().st_size
    if size != expected["bytes"]:
        raise _DamagedError(f"{file.name} has {size} bytes of {expected['bytes']}")
    if file_sha256(file) != expected["sha256"]:
        raise _DamagedError(f"{file.name} is not what was written")


def _progress(values: dict[str, Any]) -> RunPosition:
    epochs = tuple(FinetuneEpoch(**each) for each in values["epochs"])
    return RunPosition(**{**values, "sums": Sums(**values["sums"]), "epochs": epochs})


def _difference(found: Any, wanted: Any) -> str:
    """The entries in which two runs differ, as `batch 16 there, 32 here`."""
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return f"{found!r} there, {wanted!r} here"
    names = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    shown = []
    for name in names:
        there, here = found.get(name), wanted.get(name)
        nested = isinstance(there, dict) and isinstance(here, dict)
        shown.append(_difference(there, here) if nested else f"{name} {there!r} there, {here!r} here")
    return ", ".join(shown)
