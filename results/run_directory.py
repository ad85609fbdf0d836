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
predictions.csv   test utterances of every run with label, prediction and probabilities, or with ratings and predicted ones
logits.safetensors  their logits in float64, one tensor (utterances, classes) per run
validation.csv    validation utterances of every run and their logits; not there where no run holds any out
result.json       written last: it holds the SHA-256 of all of these but provenance.json, and one of itself; a finished run
                  has that of its weights and of itself, and is trained again when something else is there
"""

import csv
import errno
import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from safetensors.numpy import save

from mer.files import Disk, append_line, make_folder, sweep_temporaries, write_file
from mer.files.processes import this_process
from mer.results.artefact import read_object
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, hashes_below, seal
from mer.results.finished_run import EpochRecord, FinishedRun, MakeEpoch, has_weights, read_finished, record_of
from mer.results.names import (
    CONFIG,
    FAILED,
    FINISHED,
    LOGITS,
    METRICS,
    PREDICTIONS,
    PROCESS,
    PROVENANCE,
    RESULT,
    RUNNING,
    STARTS,
    VALIDATION,
    WEIGHTS,
    Key,
    run_stem,
)
from mer.results.rated_predictions import rating_columns
from mer.results.run_answers import validation_table
from mer.results.run_files import FAILURE, read_result, read_starts
from mer.results.shape import misfit

if sys.platform != "win32":
    import fcntl


class RunDirectory:
    """One result on disk."""

    def __init__(self, path: Path, config: Mapping[str, Any], *, epoch: MakeEpoch, suffix: str = ".safetensors") -> None:
        """Open the folder of `config`, or make it.

        Args:
            path: the folder.
            config: what names it.
            epoch: makes what a line of `metrics.jsonl` holds from its values.
            suffix: ending of a run's weights; none where they are a folder.

        Raises:
            ResultError: the folder holds the result of another config.
        """
        self.path = path
        self._epoch, self._suffix = epoch, suffix
        if not (path / RESULT).exists():  # a finished result is shown where nothing can be written, too
            for place in (path / FINISHED, path / WEIGHTS):
                make_folder(place)
            for place in (path, path / FINISHED, path / WEIGHTS):
                sweep_temporaries(place, Disk())
        text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False) + "\n"
        file = path / CONFIG
        if not file.exists():
            write_file(file, text.encode())
        elif not file.is_file() or file.read_bytes() != text.encode():
            raise ResultError(f"{file} is not the config of this command; move the folder away or use another --runs")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands of this machine out of the folder, for checkpoints, which are no commit markers.

        Where the file system has no locks nobody is kept out; nor where it takes no lock and the result is there already.

        Raises:
            ResultError: another command trains here.
        """
        try:
            opened = (self.path / ".lock").open("w")
        except OSError:
            if not (self.path / RESULT).exists():
                raise
            yield
            return
        with opened as file:
            if sys.platform != "win32":
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as problem:
                    if problem.errno in (errno.EWOULDBLOCK, errno.EACCES):
                        raise ResultError(f"{self.path}: another command is training this; wait for it") from None
            yield

    def result(self) -> dict[str, Any] | None:
        """The finished result, if there is one.

        Raises:
            ResultError: there is one that is damaged, or of another version.
        """
        return read_result(self.path) if (self.path / RESULT).exists() else None

    def finished(self, *, with_weights: bool = True) -> list[FinishedRun]:
        """Runs that were committed whole. One whose weights are missing or damaged counts as unfinished if they are wanted."""
        found = []
        for file in sorted((self.path / FINISHED).glob("*.json")):
            run = read_finished(file, self._epoch)
            if run is not None and (not with_weights or has_weights(run, self.path, self.weights(run.fold, run.seed))):
                found.append(run)
        return found

    def failed(self) -> list[dict[str, Any]]:
        """Fold, seed and reason of runs that ended without a number; one whose record is damaged counts as unfinished."""
        return [values for values in self._records(FAILED) if misfit(values, FAILURE) is None]

    def _records(self, kind: str) -> list[dict[str, Any]]:
        """What is whole of the small files of one kind; one that another process tidies away meanwhile is in its result."""
        read = (read_object(file) for file in sorted((self.path / kind).glob("*.json")))
        return [values for values in read if values is not None]

    def weights(self, fold: str, seed: int) -> Path:
        """Where the weights of a run are."""
        return self.path / WEIGHTS / f"{run_stem(fold, seed)}{self._suffix}"

    def commit(self, run: FinishedRun, image: bytes) -> None:
        """Put a finished run on disk: its weights, as a safetensors file has them, then the file that makes it count."""
        write_file(self.weights(run.fold, run.seed), image)
        self.commit_saved(run)

    def commit_saved(self, run: FinishedRun) -> None:
        """Make a run count whose weights are on disk already, or are not to be kept."""
        hashes = hashes_below(self.weights(run.fold, run.seed), self.path)
        # Gone where another process has written the result in the meantime.
        make_folder(self.path / FINISHED)
        write_file(self.path / FINISHED / f"{run_stem(run.fold, run.seed)}.json", record_of(run, hashes))
        self.forget_epochs(run.fold, run.seed)

    def commit_failure(self, fold: str, seed: int, reason: str) -> None:
        """Note that a run ended without a number, and would again."""
        make_folder(self.path / FAILED)
        text = json.dumps({"fold": fold, "seed": seed, "reason": reason})
        write_file(self.path / FAILED / f"{run_stem(fold, seed)}.json", text.encode())
        self.forget_epochs(fold, seed)

    def append_epoch(self, fold: str, seed: int, epoch: EpochRecord) -> None:
        """Add a line to what is known of a run that trains."""
        file = self._running(fold, seed)
        file.parent.mkdir(exist_ok=True)
        append_line(file, _line(fold, seed, epoch))

    def forget_epochs(self, fold: str, seed: int) -> None:
        """Drop what a run has told that ended, or that begins anew."""
        self._running(fold, seed).unlink(missing_ok=True)

    def _running(self, fold: str, seed: int) -> Path:
        return self.path / RUNNING / f"{run_stem(fold, seed)}.jsonl"

    def append_provenance(self, start: Mapping[str, Any]) -> None:
        """Keep the versions and the command of one start, and the process that it is in.

        Raises:
            ResultError: there is a `provenance.json` that is damaged, said now and not after the training.
        """
        read_starts(self.path)
        make_folder(self.path / STARTS)
        write_file(
            self.path / STARTS / f"{uuid4().hex}.json", (json.dumps({**start, PROCESS: this_process()}, indent=2) + "\n").encode()
        )

    def _write_provenance(self) -> None:
        whole = [start for start in self._records(STARTS) if misfit(start, {"started": float}) is None]
        starts = sorted(whole, key=lambda start: float(start["started"]))
        if starts:
            write_file(self.path / PROVENANCE, (json.dumps([*read_starts(self.path), *starts], indent=2) + "\n").encode())

    def finish(self, runs: Sequence[FinishedRun], classes: Sequence[str], result: Mapping[str, Any]) -> dict[str, Any]:
        """Write metrics and predictions in the order of `runs`, then the result, as it will be read back."""
        lines = [_line(run.fold, run.seed, epoch) for run in runs for epoch in run.epochs]
        write_file(self.path / METRICS, "".join(lines).encode())
        predictions = _rated_predictions if runs[0].ratings else _predictions
        write_file(self.path / PREDICTIONS, predictions(runs, classes).encode())
        logits = {run_stem(run.fold, run.seed): np.array(run.logits, dtype=np.float64) for run in runs}
        write_file(self.path / LOGITS, save(logits, {"format": "mer-logits-1"}))
        if any(run.validation_ids for run in runs):
            write_file(self.path / VALIDATION, validation_table(runs, classes).encode())
        self._write_provenance()
        hashes = {name: digest for run in runs for name, digest in self._hashes(run).items()}
        for name in (CONFIG, METRICS, PREDICTIONS, LOGITS, VALIDATION):
            hashes |= hashes_below(self.path / name, self.path)
        values = json.loads(json.dumps({**result, FILES: hashes}, allow_nan=False))
        text = json.dumps(seal(values), indent=2, allow_nan=False) + "\n"
        write_file(self.path / RESULT, text.encode())
        self.tidy()
        written: dict[str, Any] = json.loads(text)
        return written

    def _hashes(self, run: FinishedRun) -> Mapping[str, str]:
        """Hashes of a run's weights; a run of this process has them in its record only."""
        if run.files_sha256:
            return run.files_sha256
        file = self.path / FINISHED / f"{run_stem(run.fold, run.seed)}.json"
        committed = read_finished(file, self._epoch)
        return {} if committed is None else committed.files_sha256

    def tidy(self) -> None:
        """Remove what only unfinished results need."""
        for kind in (FINISHED, FAILED, RUNNING, STARTS):
            shutil.rmtree(self.path / kind, ignore_errors=True)

    def forget_failures(self) -> None:
        """Let runs that ended without a number be tried again."""
        shutil.rmtree(self.path / FAILED, ignore_errors=True)


def all_ended(path: Path, keys: Sequence[Key], epoch: MakeEpoch) -> bool:
    """Whether runs of a head have all ended, with a number or without.

    Args:
        path: a run directory, which need not be there.
        keys: test session and seed of each run.
        epoch: makes what a line of `metrics.jsonl` holds from its values.
    """

    def ended(stem: str) -> bool:
        run = read_finished(path / FINISHED / f"{stem}.json", epoch)
        finished = run is not None and has_weights(run, path, path / WEIGHTS / f"{stem}.safetensors")
        return finished or misfit(read_object(path / FAILED / f"{stem}.json"), FAILURE) is None

    return all(ended(run_stem(*key)) for key in keys) or (path / RESULT).exists()


def _line(fold: str, seed: int, epoch: EpochRecord) -> str:
    return json.dumps({"fold": fold, "seed": seed, **asdict(epoch)}, allow_nan=False) + "\n"


def _predictions(runs: Sequence[FinishedRun], classes: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fold", "seed", "id", "label", "prediction", *classes])
    for run in runs:
        for name, truth, chosen, row in zip(run.ids, run.truth, run.predictions, run.probabilities, strict=True):
            shown = [f"{value:.6f}" for value in row]
            writer.writerow([run.fold, run.seed, name, classes[truth], classes[chosen], *shown])
    return text.getvalue()


def _rated_predictions(runs: Sequence[FinishedRun], dimensions: Sequence[str]) -> str:
    """Rating and prediction of each dimension, in the corpus' unit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rating_columns(dimensions))
    for run in runs:
        for name, true, said in zip(run.ids, run.ratings, run.logits, strict=True):
            pairs = zip(true, said, strict=True)
            writer.writerow([run.fold, run.seed, name, *(f"{value:.6f}" for pair in pairs for value in pair)])
    return text.getvalue()
