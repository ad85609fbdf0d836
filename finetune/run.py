"""Fine-tune one row over all folds and seeds, resumably, and write its result."""

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from mer.backends.agreement import versions
from mer.corpus import Corpus
from mer.corpus.given_texts import GivenTexts
from mer.finetune.agreement import on_main
from mer.finetune.config import TRAINING, FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.events import EpochDone, Event, FinetuneEvent, FinetuningStarted, Progress
from mer.finetune.material import Material, take_material
from mer.finetune.model import FinetuneModel
from mer.finetune.model_folder import save_model
from mer.finetune.processes import make_accelerator, resolve_precision
from mer.finetune.row_name import row_name as row_name
from mer.finetune.tracking import StepLog
from mer.finetune.trainable import TrainableEncoders, load_encoders
from mer.finetune.trained import FinetuneEpoch, Trained
from mer.finetune.trainer import train_run
from mer.heads.progress import ignore
from mer.heads.training.planned_runs import PlannedRuns, plan_runs
from mer.protocol import Fold, confusion, integer_seed, unweighted_accuracy
from mer.results import Result, RunDone
from mer.results.finished_run import FinishedRun
from mer.results.names import RESULT_FORMAT, run_folder, run_stem
from mer.results.result_document import result_values, run_row, utterance_counts
from mer.results.run_directory import RunDirectory
from mer.tracking.tracked_result import track_result
from mer.tracking.tracked_run import plain_settings
from mer.tracking.trackers import check_tracking

NAMED_BY_WEIGHTS = ("speech_model", "text_model", "speech_revision", "text_revision")
"""Settings that a run directory's name leaves out: it holds the hashes of the weights that they lead to."""

OWN = "in this process"
"""Note on an error that other processes may not have."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """What a result leaves on disk."""

    runs: Path | str
    """Folder of run directories."""
    weights: bool = True
    """Keep the weights of every run: 0.8 GB for two base-size encoders."""
    resume: bool = True
    """Go on from the checkpoint of a run that was interrupted; else it begins anew."""


def finetune(
    corpus: Corpus,
    config: FinetuneConfig,
    storage: Storage,
    *,
    progress: Progress | None = None,
    command: str | None = None,
    texts: GivenTexts | None = None,
) -> Result:
    """Train every (fold, seed) of `config` and write `runs/<corpus>-finetune-<row>-<digest>/`.

    A run that is finished stays finished, and one that was interrupted goes on from its last checkpoint: the same call
    gives what an uninterrupted one gives. A result that is already there is returned, never trained again. Under a
    launcher every process calls this; the first one reads and writes the run directory, and all return the same.

    Args:
        corpus: utterances with their labels.
        config: the row and its protocol.
        storage: where results go, and what is kept.
        progress: called with what happens, in the first process.
        command: the command line, for `provenance.json`.
        texts: the transcripts that the utterances have in place of the corpus' own, if any.

    Raises:
        FinetuneError: an encoder, setting or device that cannot be trained with, memory that does not suffice, or no
            run that ended with a number.
        HeadError: a run directory of another config or in use.
        ProtocolError: data that cannot be split as asked.
        TrackingError: a tracker that is not there; or one that failed, after the result was written.
    """
    check_tracking(config.track)
    accelerator = make_accelerator(config)
    encoders = load_encoders(config)
    shortest = encoders.frame_length / encoders.sample_rate if "speech" in config.modalities else 0.0
    material = take_material(corpus, config, shortest)
    planned = plan_runs(material.selection, material.classes, config)
    identity = _identity(config, encoders, material) | planned.partition.identity(material.selection.ids)
    path = Path(storage.runs) / run_folder(corpus.name, ["finetune", row_slug(config)], identity)
    queue = _Queue(config, material, planned, storage, path, accelerator, progress or ignore, encoders, texts)

    def open_directory(stack: ExitStack) -> dict[str, Any] | None:
        directory = RunDirectory(path, identity, epoch=FinetuneEpoch, suffix="")
        stack.enter_context(directory.locked())
        queue.directory = directory
        existing = directory.result()
        if existing is None:
            device = f"{accelerator.device} x {accelerator.num_processes}"
            directory.append_provenance({"versions": versions(), "command": command, "device": device, "started": time.time()})
        else:
            directory.tidy()
        return existing

    with ExitStack() as stack:
        existing = on_main(accelerator, lambda: open_directory(stack))
        if existing is None:
            queue.train()
        values = existing or on_main(accelerator, queue.finish)
    result = Result(directory=path, values=values, reused=existing is not None)
    on_main(accelerator, lambda: track_result(result, config.track))
    return result


def row_slug(config: FinetuneConfig) -> str:
    """What a row is called in the name of its folder: `text`, `fc`, `ca1`, `ca2-aux1+2`."""
    if config.modality != "both":
        return config.modality
    fusion = config.fusion if config.fusion == "fc" else f"{config.fusion}{config.fusion_layers}"
    return fusion if config.aux == "none" else f"{fusion}-aux{config.aux}"


def _identity(config: FinetuneConfig, encoders: TrainableEncoders, material: Material) -> dict[str, Any]:
    return {
        "format": RESULT_FORMAT,
        "training": TRAINING,
        "config": {name: value for name, value in config.identity().items() if name not in NAMED_BY_WEIGHTS},
        "encoders": encoders.identity,
        "data": material.fingerprint(texts="text" in config.modalities or config.text_disjoint),
        **material.classes.identity(),
    }


class _Queue:
    """The runs of one result, one after the other; each is on disk as soon as it ends."""

    def __init__(
        self,
        config: FinetuneConfig,
        material: Material,
        planned: PlannedRuns,
        storage: Storage,
        path: Path,
        accelerator: Accelerator,
        progress: Progress,
        encoders: TrainableEncoders,
        texts: GivenTexts | None,
    ) -> None:
        self._texts = texts
        self._config, self._material, self._storage, self._path = config, material, storage, path
        self._accelerator, self._progress = accelerator, progress
        self._planned, self._plan = planned, planned.runs
        self._numbers = {(fold.test_session, seed): number for number, (fold, seed) in enumerate(self._plan, start=1)}
        self._identity = encoders.identity
        # Those that were loaded to look at them serve the first run; training changes them.
        self._encoders: TrainableEncoders | None = encoders
        self._finished: dict[tuple[str, int], FinishedRun] = {}
        self._failed: list[dict[str, Any]] = []
        self._notes: dict[str, Any] = {}
        self.directory: RunDirectory | None = None
        """Open in the first process only."""

    def train(self) -> None:
        """Train what is not finished."""
        self._finished = on_main(self._accelerator, self._read_finished)
        self._tell(
            FinetuningStarted(
                runs=len(self._plan),
                finished=len(self._finished),
                epochs=self._config.epochs,
                device=str(self._accelerator.device),
                processes=self._accelerator.num_processes,
                utterances=len(self._material.utterances),
                seconds=sum(self._material.seconds) if self._material.seconds else None,
                cut=self._material.longer_than(self._config.max_seconds),
                left_out=self._material.left_out,
                notices=(*(self._encoders.notices if self._encoders else ()), *self._planned.notes),
            )
        )
        for fold, seed in self._plan:
            if (fold.test_session, seed) not in self._finished:
                self._train_one(fold, seed)

    def finish(self) -> dict[str, Any]:
        """Write the result; in the first process."""
        if not self._finished:
            raise DivergedError(f"no run ended with a number; first: {self._failed[0]['reason']}")
        assert self.directory is not None
        finished = [self._finished[key] for key in self._numbers if key in self._finished]
        document = result_values(
            corpus=self._material.corpus,
            synthetic=self._material.synthetic,
            config=self._config.as_dict(),
            branches=self._config.branches,
            selection=self._material.selection,
            classes=self._material.classes,
            finished=finished,
            failed=self._failed,
            device=str(self._accelerator.device),
        ) | {
            "name": row_name(self._config),
            "encoders": self._identity,
            "utterances": {
                **utterance_counts(self._material.selection),
                "failed_extraction": 0,
                "left_out": [{"id": name, "reason": reason} for name, reason in self._material.left_out],
                "cut": self._material.longer_than(self._config.max_seconds),
            },
            **self._planned.facts(),
            "precision": resolve_precision(self._config, self._accelerator.device),
            "processes": self._accelerator.num_processes,
            **self._notes,
        }
        if self._texts is not None:
            document |= {"name": f"{document['name']}, texts of {self._texts.path.name}", "transcripts": self._texts.as_dict()}
        shutil.rmtree(self._path / "unfinished", ignore_errors=True)
        return self.directory.finish(finished, self._material.classes.classes, document)

    def _read_finished(self) -> dict[tuple[str, int], FinishedRun]:
        assert self.directory is not None
        return {(run.fold, run.seed): run for run in self.directory.finished(with_weights=self._storage.weights)}

    def _train_one(self, fold: Fold, seed: int) -> None:
        unfinished = self._path / "unfinished" / run_stem(fold.test_session, seed)
        if not self._storage.resume:
            on_main(self._accelerator, lambda: shutil.rmtree(unfinished, ignore_errors=True))
        encoders, self._encoders = self._encoders or load_encoders(self._config), None
        generator = torch.Generator().manual_seed(integer_seed(seed, "initial weights", fold.test_session))
        classes = len(self._material.classes.classes)
        model = FinetuneModel(self._config, encoders, classes, seed_generator=generator)
        log = self._step_log()

        def listen(event: Event) -> None:
            log.take(event)
            if isinstance(event, EpochDone) and self.directory is not None:
                self.directory.append_epoch(event.fold, event.seed, event.epoch)
            self._tell(event)

        try:
            trained = train_run(
                model,
                encoders,
                self._material.utterances,
                self._material.selection.targets,
                fold,
                self._config,
                seed,
                unfinished,
                self._accelerator,
                listen,
            )
        except DivergedError as problem:
            self._note_failure(fold, seed, str(problem), unfinished)
            return
        except FinetuneError as problem:
            problem.add_note(OWN)
            raise
        else:
            on_main(self._accelerator, lambda: self._commit(trained, fold, model, encoders, unfinished))
            log.finish(lambda: run_row(self._as_finished(trained, fold), self._material.selection, self._material.classes))
            self._note_finished(trained, fold)
        finally:
            log.close()

    def _step_log(self) -> StepLog:
        settings = {"corpus": self._material.corpus, **plain_settings(self._config.as_dict())}
        return StepLog(self._path, self._config.track if self._accelerator.is_main_process else None, settings, self._tell)

    def _note_failure(self, fold: Fold, seed: int, reason: str, unfinished: Path) -> None:
        self._failed.append({"fold": fold.test_session, "seed": seed, "reason": reason})
        on_main(self._accelerator, lambda: shutil.rmtree(unfinished, ignore_errors=True))
        self._tell_over(fold, seed, best_epoch=None, ua=None, failure=reason)

    def _commit(self, trained: Trained, fold: Fold, model: FinetuneModel, encoders: TrainableEncoders, unfinished: Path) -> None:
        assert self.directory is not None
        if self._storage.weights:
            folder = self.directory.weights(trained.fold, trained.seed)
            identity = {**encoders.identity, "corpus": self._material.corpus, "fold": trained.fold, "seed": trained.seed}
            save_model(folder, model, self._config, self._material.classes.classes, identity)
        self.directory.commit_saved(self._as_finished(trained, fold))
        shutil.rmtree(unfinished, ignore_errors=True)

    def _note_finished(self, trained: Trained, fold: Fold) -> None:
        run = self._as_finished(trained, fold)
        self._finished[run.fold, run.seed] = run
        memory = max(trained.memory, self._notes.get("memory", 0))
        self._notes = {"memory": memory, "audio_seconds_per_second": trained.audio_per_second}
        matrix = confusion(np.array(run.truth), np.array(run.predictions), len(self._material.classes.classes))
        self._tell_over(fold, trained.seed, best_epoch=run.best_epoch, ua=unweighted_accuracy(matrix), failure=None)

    def _tell_over(self, fold: Fold, seed: int, *, best_epoch: int | None, ua: float | None, failure: str | None) -> None:
        self._tell(
            RunDone(
                run=self._numbers[fold.test_session, seed],
                runs=len(self._plan),
                over=len(self._finished) + len(self._failed),
                fold=fold.test_session,
                seed=seed,
                best_epoch=best_epoch,
                ua=ua,
                failure=failure,
            )
        )

    def _tell(self, event: FinetuneEvent) -> None:
        if self._accelerator.is_main_process:
            self._progress(event)

    def _as_finished(self, trained: Trained, fold: Fold) -> FinishedRun:
        return FinishedRun(
            fold=trained.fold,
            seed=trained.seed,
            best_epoch=trained.best_epoch,
            epochs=trained.epochs,
            ids=tuple(self._material.selection.ids[row] for row in fold.test),
            truth=tuple(self._material.selection.targets[fold.test].tolist()),
            logits=tuple(tuple(row) for row in trained.logits.tolist()),
            validation_ids=tuple(self._material.selection.ids[row] for row in fold.validation),
            validation_truth=tuple(self._material.selection.targets[fold.validation].tolist()),
            validation_logits=tuple(tuple(row) for row in trained.validation_logits.tolist()),
            layer_shares={},
            seconds=trained.seconds,
        )
