"""One run, from pretrained encoders to the logits of its test fold, on one device or several."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float64, Int64
from torch import Tensor

from mer.backends.interrupt import ctrl_c_waits, sigterm_is_ctrl_c
from mer.corpus import Utterance
from mer.extract.precision import exact_float32
from mer.finetune.batch_size import fitting_seconds, meter_of
from mer.finetune.checkpoint import Checkpoint, CheckpointFolder, RunPosition
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.evaluation import evaluate
from mer.finetune.events import CheckpointSkipped, CheckpointWritten, EpochDone, Listener, RunStarted, StepDone
from mer.finetune.losses import Losses
from mer.finetune.model import FinetuneModel
from mer.finetune.optimizer import Optimizer
from mer.finetune.pace import Pace
from mer.finetune.processes import Position, explained, sum_over_processes, take_weights_of_the_first
from mer.finetune.randomness import global_generators_kept
from mer.finetune.run_identity import run_identity
from mer.finetune.sampler import StepPlan, plan_epoch
from mer.finetune.step import Stepper
from mer.finetune.trainable import TrainableEncoders
from mer.finetune.trained import BestWeights, FinetuneEpoch, Trained
from mer.finetune.waiting_steps import READ_STEPS, WaitingSteps
from mer.heads.emotion_loss import EmotionLoss, emotion_loss
from mer.heads.progress import ignore
from mer.protocol import Fold, confusion, unweighted_accuracy, weighted_accuracy


def train_run(
    model: FinetuneModel,
    encoders: TrainableEncoders,
    utterances: Sequence[Utterance],
    targets: Int64[np.ndarray, " utterances"],
    fold: Fold,
    config: FinetuneConfig,
    seed: int,
    folder: Path,
    accelerator: Accelerator,
    listener: Listener = ignore,
) -> Trained:
    """Train one run, going on from the newest whole checkpoint in `folder` if there is one.

    AdamW, a linear rise and fall of the step size, gradients averaged over the utterances of a step however it is cut
    and dealt. The validation part, where there is one, is looked at after each epoch; the test part once, after the last,
    with the weights of the selected epoch, which the model holds in the end. Checkpoints stay:
    `CheckpointFolder(...).discard()` when the result is on disk.

    Args:
        model: as initialised from the seed, on any device.
        encoders: part of the model; prepare what it reads.
        utterances: of the corpus.
        targets: class number of each.
        fold: row numbers of each part.
        config: the row of the table.
        seed: decides order, pairing and dropout.
        folder: of the run, shared by all processes; checkpoints go to `checkpoints/` in it.
        accelerator: of this process, from `make_accelerator`.
        listener: hears of steps, epochs and checkpoints, in the main process only.

    Raises:
        DivergedError: a loss, gradient or test logit that is no number; in every process.
        FinetuneError: bad data, a checkpoint of another run, no memory, a lost process.
    """
    position = Position(f"fold {fold.test_session}, seed {seed}")
    tell = listener if accelerator.is_main_process else ignore
    with global_generators_kept(), exact_float32(), explained(position, accelerator, config):
        parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        rows = {name: part.tolist() for name, part in parts.items()}
        reader = BatchReader(utterances, targets, list(itertools.chain(*rows.values())), encoders, config)
        run = run_identity(model, encoders, utterances, targets, fold, config, seed)
        checkpoints = CheckpointFolder(folder, run, config.keep)
        loss = emotion_loss(config, targets, fold.train, model.classes, torch.device("cpu"))
        training = _Training(
            model, reader, targets.tolist(), loss, rows, fold.test_session, config, seed, accelerator, position, tell
        )
        return training.run(checkpoints)


class _Training:
    """State of one run."""

    def __init__(
        self,
        model: FinetuneModel,
        reader: BatchReader,
        labels: Sequence[int],
        loss: EmotionLoss,
        rows: Mapping[str, list[int]],
        fold: str,
        config: FinetuneConfig,
        seed: int,
        accelerator: Accelerator,
        position: Position,
        tell: Listener,
    ) -> None:
        self._model, self._reader, self._labels, self._loss, self._rows = model, reader, labels, loss, rows
        self._fold, self._config, self._seed = fold, config, seed
        self._accelerator, self._position, self._tell = accelerator, position, tell
        self._selection = BestWeights(config.chosen_by)
        self._progress = RunPosition()
        self._alone = accelerator.num_processes == 1
        # Several processes read at the same steps, so that all stop at the same one.
        together = 1 if config.checkpoint_minutes == 0 else READ_STEPS
        self._waiting = WaitingSteps(every=None if self._alone else together)
        self._audio = {name: sum(reader.seconds[row] for row in part) for name, part in rows.items()}

    def run(self, checkpoints: CheckpointFolder) -> Trained:
        """Train, validate, and test once."""
        self._checkpoints = checkpoints
        self._steps = len(self._plan(1))
        resumed = self._prepare()
        self._pace = Pace(self._accelerator.device)
        self._before = self._progress.seconds
        self._written = 0.0
        self._on_disk = (self._progress.epoch, self._progress.step)
        self._announce(resumed)
        with sigterm_is_ctrl_c(), self._saved_when_stopped():
            for epoch in range(self._progress.epoch, self._config.epochs + 1):
                self._train(epoch)
                self._validate(epoch)
        self._selection.apply(self._model)
        # Validation once more, with the weights that are kept: a checkpoint does not hold what the best epoch said.
        held_out, logits = self._evaluate("validation"), self._evaluate("test")
        for part, each in (("test", logits), ("validation", held_out)):
            if lost := int((~each.isfinite()).any(1).sum()):
                raise DivergedError(f"{self._position}: the logits of {lost} {part} utterances are no numbers")
        return Trained(
            fold=self._fold,
            seed=self._seed,
            epochs=self._progress.epochs,
            best_epoch=self._selection.best_epoch,
            logits=logits.numpy(),
            validation_logits=held_out.numpy(),
            cut=self._cut(),
            precision=self._precision,
            processes=self._accelerator.num_processes,
            memory=self._pace.memory(),
            audio_per_second=self._pace.audio_per_second,
            seconds=self._before + self._pace.elapsed(),
        )

    @contextmanager
    def _saved_when_stopped(self) -> Iterator[None]:
        """Write a checkpoint before Ctrl-C or SIGTERM ends the block: where it waits, weights and position belong together."""
        try:
            yield
        except KeyboardInterrupt:
            done = self._read_steps()
            if (self._progress.epoch, self._progress.step) != self._on_disk:
                self._write()
            for each in done:
                self._tell(each)
            raise

    def _prepare(self) -> bool:
        """Load the newest checkpoint, if there is one, and put everything on the device."""
        found = self._checkpoints.newest(lambda path, reason: self._tell(CheckpointSkipped(path=path, reason=reason)))
        if found is not None:
            self._progress = found.progress
            self._model.load_state_dict(dict(found.model))
            self._selection.restore(found.progress.best_epoch, found.progress.lowest, found.selected)
        self._check_same_position()
        self._model.to(self._accelerator.device)
        take_weights_of_the_first(self._accelerator, self._model)
        self._fit_passes()
        self._optimizer = Optimizer(self._model, self._config, self._steps * self._config.epochs)
        if found is not None:
            self._optimizer.load_state(found.optimizer)
        self._stepper = Stepper(
            self._model,
            self._optimizer,
            self._reader,
            self._labels,
            self._fold,
            self._config,
            self._seed,
            self._accelerator,
            self._position,
            self._loss,
        )
        return found is not None

    def _fit_passes(self) -> None:
        """Where it was not said how large a pass is, as large as the memory of every process' device allows."""
        meter = meter_of(self._accelerator.device)
        if self._config.batch_seconds is not None or meter is None:
            return
        seconds = fitting_seconds(self._model, self._reader, self._rows["train"], self._config, self._accelerator, meter)
        everyone = torch.zeros(self._accelerator.num_processes, dtype=torch.float64, device=self._accelerator.device)
        everyone[self._accelerator.process_index] = seconds
        smallest = float(sum_over_processes(self._accelerator, everyone).min())
        self._config = replace(self._config, batch_seconds=smallest)
        self._position.pass_seconds = smallest

    def _check_same_position(self) -> None:
        """Processes that read different folders would train different models."""
        here = self._progress.epoch * self._steps + self._progress.step
        places = torch.zeros(self._accelerator.num_processes, dtype=torch.int64, device=self._accelerator.device)
        places[self._accelerator.process_index] = here
        if set(sum_over_processes(self._accelerator, places).tolist()) != {here}:
            raise FinetuneError(
                f"{self._position}: process {self._accelerator.process_index} found another checkpoint in "
                f"{self._checkpoints.path} than the others; the run's folder must be one that all processes share"
            )

    def _plan(self, epoch: int) -> list[StepPlan]:
        seconds = self._reader.lengths
        processes = self._accelerator.num_processes
        return plan_epoch(seconds, self._rows["train"], self._config, self._seed, epoch, processes)

    def _train(self, epoch: int) -> None:
        """The steps of an epoch that are not done yet."""
        todo = self._plan(epoch)[self._progress.step :]
        process, device = self._accelerator.process_index, self._accelerator.device
        mine = [rows for plan in todo for _, rows in plan.of(process)]
        self._model.train()
        self._pace.start()
        with closing(self._reader.ahead(mine, pin=device.type == "cuda")) as batches:
            for plan in todo:
                self._position.at(epoch, plan.step + 1)
                with ctrl_c_waits():
                    found = self._stepper.take(epoch, plan, batches)
                    factor = self._optimizer.step((epoch - 1) * self._steps + plan.step)
                    audio = sum(self._reader.seconds[row] for rows in plan.micro_batches for row in rows)
                    self._waiting.add(plan.step + 1, found, factor, audio)
                if self._waiting.due or (self._alone and self._checkpoint_due):
                    self._tell_steps()
                if plan.step + 1 < self._steps and not self._waiting:  # after the last one the epoch's own is written
                    self._write_if_due()
        self._tell_steps()

    def _tell_steps(self) -> None:
        """Read the losses of the steps that wait, and tell of them."""
        with ctrl_c_waits():
            done = self._read_steps()
        for each in done:
            self._tell(each)

    def _read_steps(self) -> list[StepDone]:
        """Read the losses of the steps that wait; the weights are those after the last one, and so is the progress then.

        Nothing that is not read goes into a checkpoint.
        """
        read, done = self._waiting.read(), list[StepDone]()
        if not read:
            return []
        lap = self._pace.trained(sum(each.audio_seconds for each in read), len(read)) / len(read)
        for each in read:
            self._position.at(self._progress.epoch, each.step)
            losses = each.sums.means(self._config)
            for what, value in (("loss", losses.total), ("norm of the gradients", each.norm)):
                if not math.isfinite(value):
                    raise DivergedError(
                        f"{self._position}: the {what} is {value}; lower --encoder-rate or --fusion-rate, or try --dtype float32"
                    )
            self._progress = replace(
                self._progress,
                step=each.step,
                sums=self._progress.sums + each.sums,
                epoch_seconds=self._progress.epoch_seconds + lap,
            )
            done.append(self._step_done(losses, each.norm, each.factor))
        return done

    def _validate(self, epoch: int) -> None:
        """Judge the epoch that is over, and keep its weights if they are to be tested."""
        self._pace.start()
        loss, ua, wa = self._validation_scores() if self._rows["validation"] else (None, None, None)
        lap = self._pace.evaluated(self._audio["validation"])
        losses = self._progress.sums.means(self._config)
        over = FinetuneEpoch(
            epoch=epoch,
            train_loss=losses.total,
            main_loss=losses.main,
            aux1_loss=losses.aux1,
            aux2_loss=losses.aux2,
            lonely_share=losses.lonely_share,
            unchanged_share=losses.unchanged_share,
            same_class_share=losses.same_class_share,
            validation_loss=loss,
            validation_ua=ua,
            validation_wa=wa,
            seconds=self._progress.epoch_seconds + lap,
        )
        with ctrl_c_waits():
            self._selection.note(epoch, loss, self._model)
            best, lowest = self._selection.best_epoch, self._selection.lowest
            epochs = (*self._progress.epochs, over)
            self._progress = RunPosition(epoch=epoch + 1, epochs=epochs, best_epoch=best, lowest=lowest)
        self._tell(EpochDone(fold=self._fold, seed=self._seed, epochs=self._config.epochs, epoch=over))
        self._write_if_due()

    def _validation_scores(self) -> tuple[float, float, float]:
        """Loss, UA and WA of the validation part."""
        logits = self._evaluate("validation")
        truth = torch.tensor([self._labels[row] for row in self._rows["validation"]])
        loss = self._loss.mean(self._rows["validation"], logits)
        if not math.isfinite(loss):
            raise DivergedError(f"{self._position}: the validation loss is {loss}; lower --encoder-rate or --fusion-rate")
        matrix = confusion(truth.numpy(), logits.argmax(1).numpy(), self._model.classes)
        return loss, unweighted_accuracy(matrix), weighted_accuracy(matrix)

    def _evaluate(self, part: str) -> Float64[Tensor, "utterances classes"]:
        return evaluate(self._model, self._reader, self._rows[part], self._config, self._accelerator, self._position)

    def _write_if_due(self) -> None:
        if self._checkpoint_due:
            self._write()

    def _write(self) -> None:
        """A checkpoint, by the main process alone: all hold the same weights and moments."""
        if not self._accelerator.is_main_process:
            return
        elapsed = self._pace.elapsed()
        self._progress = replace(self._progress, seconds=self._before + elapsed)
        state = {name: value.detach().to("cpu", copy=True) for name, value in self._model.state_dict().items()}
        checkpoint = Checkpoint(
            progress=self._progress, model=state, optimizer=self._optimizer.state(), selected=self._selection.weights
        )
        path = self._checkpoints.write(checkpoint, (self._progress.epoch - 1) * self._steps + self._progress.step)
        self._written = self._pace.elapsed()
        self._on_disk = (self._progress.epoch, self._progress.step)
        self._pace.start()
        self._tell(CheckpointWritten(path=path, seconds=self._written - elapsed))

    @property
    def _checkpoint_due(self) -> bool:
        """Whether this process is to write one now."""
        due = self._pace.elapsed() - self._written >= 60 * self._config.checkpoint_minutes
        return self._accelerator.is_main_process and due

    def _announce(self, resumed: bool) -> None:
        self._tell(
            RunStarted(
                fold=self._fold,
                seed=self._seed,
                device=str(self._accelerator.device),
                precision=self._precision,
                processes=self._accelerator.num_processes,
                epochs=self._config.epochs,
                steps=self._steps,
                pass_seconds=self._config.pass_seconds,
                utterances={name: len(part) for name, part in self._rows.items()},
                cut=self._cut(),
                resumed=(self._progress.epoch, self._progress.step) if resumed else None,
            )
        )

    def _step_done(self, losses: Losses, norm: float, factor: float) -> StepDone:
        progress, epochs = self._progress, self._config.epochs
        after = epochs - progress.epoch  # whole epochs
        to_evaluate = (after + 1) * self._audio["validation"] + self._audio["test"]
        return StepDone(
            fold=self._fold,
            seed=self._seed,
            epoch=progress.epoch,
            epochs=epochs,
            step=progress.step,
            steps=self._steps,
            loss=losses.total,
            main_loss=losses.main,
            aux1_loss=losses.aux1,
            aux2_loss=losses.aux2,
            lonely_share=losses.lonely_share,
            unchanged_share=losses.unchanged_share,
            same_class_share=losses.same_class_share,
            gradient_norm=norm,
            rate_factor=factor,
            audio_seconds_per_second=self._pace.audio_per_second,
            memory=self._pace.memory(),
            seconds_left=self._pace.left(after * self._steps + self._steps - progress.step, to_evaluate),
        )

    def _cut(self) -> dict[str, int]:
        return {name: sum(row in self._reader.cut for row in part) for name, part in self._rows.items()}

    @property
    def _precision(self) -> str:
        return "bfloat16" if self._accelerator.mixed_precision == "bf16" else "float32"
