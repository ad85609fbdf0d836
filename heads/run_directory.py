"""The folder of one result: what is written when, so that an interrupted command loses one run at most.

Several processes, also of several machines, may write runs of one result at the same time: every file is one run's or one
start's, and is whole when it is there. One run that two of them train is the same twice.

config.json       what was asked for, written first; a folder with another one is refused
starts/           one JSON per command that trained here; provenance.json, their list, once result.json is there
running/          fold1-seed0.jsonl: one line per epoch while that run trains
finished/         one JSON per finished run: its commit marker, removed once result.json is there
failed/           one JSON per run that ended without a number
metrics.jsonl     every epoch of every finished run, written with the result
weights/          fold1-seed0.safetensors: best parameters and normalisation statistics; of a model that was trained
                  end to end a folder fold1-seed0/
predictions.csv   test utterances of every run
logits.safetensors  their logits in float64, one tensor (utterances, classes) per run
result.json       written last: it holds the SHA-256 of the weights, predictions and logits, and one of itself; a finished
                  run has that of its weights and of itself, and is trained again when something else is there
"""

import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable
from uuid import uuid4

import torch
from safetensors.torch import save
from torch import Tensor

from mer.heads.errors import HeadError
from mer.heads.file_hashes import FILES, SEAL, hashes_below, is_sealed_wrongly, is_whole, seal
from mer.heads.trained_run import Epoch

if sys.platform != "win32":
    import fcntl


@runtime_checkable
class EpochRecord(Protocol):
    """A line of `metrics.jsonl`, less fold and seed: a dataclass of plain numbers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def validation_ua(self) -> float | None:
        """Unweighted accuracy of the validation utterances; None where none are held out."""
        ...


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What a result needs of one finished run, as it stands in `finished/`."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    best_epoch: int
    """Epoch whose weights were kept."""
    epochs: tuple[EpochRecord, ...]
    """Every epoch."""
    ids: tuple[str, ...]
    """Test utterances."""
    truth: tuple[int, ...]
    """Class numbers of the test utterances."""
    logits: tuple[tuple[float, ...], ...]
    """One row per test utterance, one value per class."""
    layer_shares: dict[str, list[float]]
    """Granularity to the learned share of each layer."""
    seconds: float
    """Wall time of the run."""
    device: str = ""
    """Where it was trained."""
    files_sha256: Mapping[str, str] = field(default_factory=dict)
    """Path from the run directory to SHA-256 of its weights; empty where none are kept, or were hashed."""

    @property
    def predictions(self) -> list[int]:
        """Class number with the highest logit, the first of equals."""
        return [max(range(len(row)), key=row.__getitem__) for row in self.logits]

    @property
    def probabilities(self) -> list[list[float]]:
        """Softmax of the logits."""
        values: list[list[float]] = torch.tensor(self.logits, dtype=torch.float64).softmax(1).tolist()
        return values


class RunDirectory:
    """One result on disk."""

    def __init__(
        self, path: Path, config: Mapping[str, Any], *, epoch: Callable[..., EpochRecord] = Epoch, suffix: str = ".safetensors"
    ) -> None:
        """Open the folder of `config`, or make it.

        Args:
            path: the folder.
            config: what names it.
            epoch: makes what a line of `metrics.jsonl` holds from its values.
            suffix: ending of a run's weights; none where they are a folder.

        Raises:
            HeadError: the folder holds the result of another config.
        """
        self.path = path
        self._epoch, self._suffix = epoch, suffix
        (path / "finished").mkdir(parents=True, exist_ok=True)
        (path / "weights").mkdir(exist_ok=True)
        text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False) + "\n"
        file = path / "config.json"
        if not file.exists():
            write_atomically(file, text.encode())
        elif file.read_text(encoding="utf-8") != text:
            raise HeadError(f"{file} is not the config of this command; move the folder away or use another --runs")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands of this machine out of the folder, for checkpoints, which are no commit markers.

        Where the file system has no locks nobody is kept out.

        Raises:
            HeadError: another command trains here.
        """
        with (self.path / ".lock").open("w") as file:
            if sys.platform != "win32":
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as problem:
                    if problem.errno in (errno.EWOULDBLOCK, errno.EACCES):
                        raise HeadError(f"{self.path}: another command is training this; wait for it") from None
            yield

    def result(self) -> dict[str, Any] | None:
        """The finished result, if there is one."""
        file = self.path / "result.json"
        if not file.exists():
            return None
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if is_sealed_wrongly(values):
            raise HeadError(f"{file}: damaged (its own sha256 differs); copy the folder again, or move it away and train again")
        return values

    def finished(self, *, with_weights: bool = True) -> list[FinishedRun]:
        """Runs that were committed whole. One whose weights are missing or damaged counts as unfinished if they are wanted."""
        found = []
        for file in sorted((self.path / "finished").glob("*.json")):
            run = _read_finished(file, self._epoch)
            if run is not None and (not with_weights or _has_weights(run, self.path, self.weights(run.fold, run.seed))):
                found.append(run)
        return found

    def failed(self) -> list[dict[str, Any]]:
        """Fold, seed and reason of runs that ended without a number."""
        return self._ended("failed")

    def _ended(self, kind: str) -> list[dict[str, Any]]:
        found = []
        for file in sorted((self.path / kind).glob("*.json")):
            try:
                found.append(json.loads(file.read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue  # another process has just written the result, and tidies
        return found

    def weights(self, fold: str, seed: int) -> Path:
        """Where the weights of a run are."""
        return self.path / "weights" / f"{run_stem(fold, seed)}{self._suffix}"

    def commit(self, run: FinishedRun, tensors: Mapping[str, Tensor]) -> None:
        """Put a finished run on disk: its weights first, then the file that makes it count."""
        image = save({name: value.contiguous() for name, value in tensors.items()}, {"format": "mer-head-1"})
        write_atomically(self.weights(run.fold, run.seed), image)
        self.commit_saved(run)

    def commit_saved(self, run: FinishedRun) -> None:
        """Make a run count whose weights are on disk already, or are not to be kept."""
        hashes = hashes_below(self.weights(run.fold, run.seed), self.path)
        text = json.dumps(seal(json.loads(json.dumps(asdict(replace(run, files_sha256=hashes)), allow_nan=False))))
        # Gone where another process has written the result in the meantime.
        (self.path / "finished").mkdir(exist_ok=True)
        write_atomically(self.path / "finished" / f"{run_stem(run.fold, run.seed)}.json", text.encode())
        self.forget_epochs(run.fold, run.seed)

    def commit_failure(self, fold: str, seed: int, reason: str) -> None:
        """Note that a run ended without a number, and would again."""
        (self.path / "failed").mkdir(exist_ok=True)
        text = json.dumps({"fold": fold, "seed": seed, "reason": reason})
        write_atomically(self.path / "failed" / f"{run_stem(fold, seed)}.json", text.encode())
        self.forget_epochs(fold, seed)

    def append_epoch(self, fold: str, seed: int, epoch: EpochRecord) -> None:
        """Add a line to what is known of a run that trains."""
        file = self._running(fold, seed)
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(_line(fold, seed, epoch))

    def forget_epochs(self, fold: str, seed: int) -> None:
        """Drop what a run has told that ended, or that begins anew."""
        self._running(fold, seed).unlink(missing_ok=True)

    def _running(self, fold: str, seed: int) -> Path:
        return self.path / "running" / f"{run_stem(fold, seed)}.jsonl"

    def append_provenance(self, start: Mapping[str, Any]) -> None:
        """Keep the versions and the command of one start."""
        (self.path / "starts").mkdir(exist_ok=True)
        write_atomically(self.path / "starts" / f"{uuid4().hex}.json", (json.dumps(start, indent=2) + "\n").encode())

    def _write_provenance(self) -> None:
        file = self.path / "provenance.json"
        earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        starts = sorted(self._ended("starts"), key=lambda start: float(start["started"]))
        if starts:
            write_atomically(file, (json.dumps([*earlier, *starts], indent=2) + "\n").encode())

    def finish(self, runs: Sequence[FinishedRun], classes: Sequence[str], result: Mapping[str, Any]) -> dict[str, Any]:
        """Write metrics and predictions in the order of `runs`, then the result, as it will be read back."""
        lines = [_line(run.fold, run.seed, epoch) for run in runs for epoch in run.epochs]
        write_atomically(self.path / "metrics.jsonl", "".join(lines).encode())
        write_atomically(self.path / "predictions.csv", _predictions(runs, classes).encode())
        logits = {run_stem(run.fold, run.seed): torch.tensor(run.logits, dtype=torch.float64) for run in runs}
        write_atomically(self.path / "logits.safetensors", save(logits, {"format": "mer-logits-1"}))
        self._write_provenance()
        hashes = {name: digest for run in runs for name, digest in self._hashes(run).items()}
        for name in ("predictions.csv", "logits.safetensors"):
            hashes |= hashes_below(self.path / name, self.path)
        values = json.loads(json.dumps({**result, FILES: hashes}, allow_nan=False))
        text = json.dumps(seal(values), indent=2, allow_nan=False) + "\n"
        write_atomically(self.path / "result.json", text.encode())
        self.tidy()
        written: dict[str, Any] = json.loads(text)
        return written

    def _hashes(self, run: FinishedRun) -> Mapping[str, str]:
        """Of a run's weights; a run of this process has them in its record only."""
        if run.files_sha256:
            return run.files_sha256
        file = self.path / "finished" / f"{run_stem(run.fold, run.seed)}.json"
        committed = _read_finished(file, self._epoch) if file.exists() else None
        return {} if committed is None else committed.files_sha256

    def tidy(self) -> None:
        """Remove what only unfinished results need."""
        for kind in ("finished", "failed", "running", "starts"):
            shutil.rmtree(self.path / kind, ignore_errors=True)

    def forget_failures(self) -> None:
        """Let runs that ended without a number be tried again."""
        shutil.rmtree(self.path / "failed", ignore_errors=True)


def all_ended(path: Path, keys: Sequence[tuple[str, int]]) -> bool:
    """Whether runs of a head have all ended, with a number or without.

    Args:
        path: a run directory, which need not be there.
        keys: test session and seed of each run.
    """

    def ended(stem: str) -> bool:
        run = _read_finished(path / "finished" / f"{stem}.json", Epoch)
        finished = run is not None and _has_weights(run, path, path / "weights" / f"{stem}.safetensors")
        return finished or (path / "failed" / f"{stem}.json").exists()

    return all(ended(run_stem(*key)) for key in keys) or (path / "result.json").exists()


def write_atomically(path: Path, image: bytes) -> None:
    """Put `image` at `path`, whole or not at all, and on disk before returning."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def run_stem(fold: str, seed: int) -> str:
    """What a run's files and tensors are called: `fold1-seed0`."""
    safe = re.sub(r"[^\w.-]", lambda match: f"%{ord(match[0]):02x}", fold)
    return f"fold{safe}-seed{seed}"


def _line(fold: str, seed: int, epoch: EpochRecord) -> str:
    return json.dumps({"fold": fold, "seed": seed, **asdict(epoch)}, allow_nan=False) + "\n"


def run_folder(corpus: str, parts: Sequence[str], identity: Mapping[str, Any]) -> str:
    """Name of a run directory: the corpus, what was trained, and the start of the identity's hash."""
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    return "-".join([corpus, *parts, hashlib.sha256(text.encode()).hexdigest()[:8]])


def _read_finished(file: Path, make_epoch: Callable[..., EpochRecord]) -> FinishedRun | None:
    """A run's commit marker; None where there is none, or a damaged one: the run is trained again."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or is_sealed_wrongly(values):
            return None
        values.pop(SEAL, None)
        return _parse(values, make_epoch)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _has_weights(run: FinishedRun, folder: Path, weights: Path) -> bool:
    """Whether a run's weights are there, and as they were committed."""
    return weights.exists() and is_whole(folder, run.files_sha256)


def _parse(values: dict[str, Any], make_epoch: Callable[..., EpochRecord]) -> FinishedRun:
    return FinishedRun(
        **{
            **values,
            "epochs": tuple(make_epoch(**epoch) for epoch in values["epochs"]),
            "ids": tuple(values["ids"]),
            "truth": tuple(values["truth"]),
            "logits": tuple(tuple(row) for row in values["logits"]),
        }
    )


def _predictions(runs: Sequence[FinishedRun], classes: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fold", "seed", "id", "label", "prediction", *classes])
    for run in runs:
        for name, truth, chosen, row in zip(run.ids, run.truth, run.predictions, run.probabilities, strict=True):
            shown = [f"{value:.6f}" for value in row]
            writer.writerow([run.fold, run.seed, name, classes[truth], classes[chosen], *shown])
    return text.getvalue()


def versions() -> dict[str, str]:
    """Versions that can change a number in its last digits."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0], "torch": str(torch.__version__)}
    for name in ("mer-fusion", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
