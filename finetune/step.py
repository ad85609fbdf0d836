"""One optimiser step: forward and backward passes of this process, weighted so that the cut does not matter."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from accelerate import Accelerator
from jaxtyping import Int64
from torch import Tensor

from mer.finetune.auxiliary import draw_step_pairing, pair_counts
from mer.finetune.batch import Batch, Pairing
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.model import FinetuneModel, TaskSums
from mer.finetune.optimizer import Optimizer
from mer.finetune.processes import GradientSum, Position, sum_over_processes
from mer.finetune.randomness import seed_forward_pass
from mer.finetune.sampler import StepPlan
from mer.finetune.sequences import Sequences, real_units, stacked
from mer.finetune.waiting_steps import StepFound
from mer.heads.emotion_loss import EmotionLoss
from mer.protocol import integer_seed, numpy_generator


@dataclass(frozen=True, kw_only=True, eq=False)
class _Step:
    """What all passes of a step share; utterances are numbered by their place, pass after pass."""

    epoch: int
    plan: StepPlan
    labels: Int64[Tensor, " step"]
    pairing: Pairing | None
    seeds: tuple[int, ...]
    first: tuple[int, ...]
    """Place of the first utterance of each pass."""


class Stepper:
    """Takes the steps of one run.

    The gradient of a step is that of the mean over its N utterances, and over its M pairs for task 2:
    sum over passes of 1/N (L_MER + a1 L_aux1) + 1/M a2 L_aux2, where the losses are sums over the pass' own items; it is
    summed over the processes.

    Auxiliary tasks recombine all utterances of the step, in whichever pass of whichever process they are. An item is
    computed with the pass that holds its audio, so that only texts have to be at hand from elsewhere. Where a step is cut:

        1. the texts of every pass, without graph; all processes get all of them
        2. for each pass: its audio, with graph; its items of all tasks; backward. Gradients at the texts add up
        3. for each pass: its texts once more, with graph; backward from their gradients

    which is exact (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", section 3.2)
    and costs a second forward pass of the text encoder alone. A process with a single pass keeps the graph of its texts. A
    step that is one pass, or has no auxiliary tasks, needs none of this.
    """

    def __init__(
        self,
        model: FinetuneModel,
        optimizer: Optimizer,
        reader: BatchReader,
        labels: Sequence[int],
        fold: str,
        config: FinetuneConfig,
        seed: int,
        accelerator: Accelerator,
        position: Position,
        loss: EmotionLoss | None = None,
    ) -> None:
        """Nothing is trained yet.

        Args:
            model: on the device of the accelerator.
            optimizer: of the model.
            reader: of the batches; knows how long each utterance is.
            labels: class number of each row of the corpus.
            fold: test session.
            config: auxiliary tasks and their weights.
            seed: of the run.
            accelerator: of this process.
            position: told of each forward pass.
            loss: of the emotion; None is cross-entropy with `labels`.
        """
        self._model, self._optimizer, self._reader, self._labels = model, optimizer, reader, labels
        self._loss, self._fold, self._config, self._seed = loss, fold, config, seed
        self._accelerator, self._position = accelerator, position

    def take(self, epoch: int, plan: StepPlan, batches: Iterator[Batch]) -> StepFound:
        """Gradients of a step, over all processes, clipped. Nothing is read back: a GPU may still be at it on return.

        Args:
            epoch: from 1.
            plan: the step.
            batches: gives this process' batches of the step next.

        Returns:
            Losses over all processes, and the norm of the gradients before clipping.
        """
        step = self._shared(epoch, plan)
        gradients = GradientSum(self._accelerator)
        self._optimizer.zero()
        if step.pairing is None or len(plan.micro_batches) == 1:
            sums = self._pass_by_pass(step, batches)
            gradients.start(self._model.parameters())
        else:
            sums = self._over_passes(step, batches, gradients)
        gradients.finish()
        # Every process has the same sums and the same gradients.
        values = torch.cat([sum_over_processes(self._accelerator, sums), self._optimizer.clip().double()[None]])
        labels = torch.tensor([self._labels[row] for row in plan.placed])
        return StepFound(values=values, counts=pair_counts(step.pairing, labels, self._config))

    def _shared(self, epoch: int, plan: StepPlan) -> _Step:
        placed = plan.placed
        pairing = None
        if self._config.aux != "none":
            random = numpy_generator(self._seed, "pairing", self._fold, epoch, plan.step)
            pairing = draw_step_pairing(plan, self._labels, random)
        first = [0]
        for rows in plan.micro_batches:
            first.append(first[-1] + len(rows))
        return _Step(
            epoch=epoch,
            plan=plan,
            labels=torch.tensor([self._labels[row] for row in placed]).to(self._accelerator.device, non_blocking=True),
            pairing=pairing,
            seeds=tuple(integer_seed(self._seed, "dropout", self._fold, epoch, row) for row in placed),
            first=tuple(first),
        )

    def _pass_by_pass(self, step: _Step, batches: Iterator[Batch]) -> Tensor:
        """Each pass forward and backward: its items need nothing of another one."""
        sums = torch.zeros(3, dtype=torch.float64, device=self._accelerator.device)
        for number, rows in step.plan.of(self._accelerator.process_index):
            batch = self._ready(step, number, next(batches))
            assert batch.rows == rows
            self._about_to_run(step, number, batch, "both")
            with self._accelerator.autocast():
                encoded = self._model.encode(batch)
                # Of a step that is one pass, the pairing is the pass' own.
                tasks = self._model.task_sums(
                    encoded.audio, encoded.text, batch.labels, step.pairing, seeds=batch.seeds, emotion=self._emotion(batch)
                )
                loss = self._weighted(tasks, step)
            self._accelerator.backward(loss)
            sums += _items(tasks)
        return sums

    def _over_passes(self, step: _Step, batches: Iterator[Batch], gradients: GradientSum) -> Tensor:
        """The three rounds of a step whose items need texts of other passes."""
        sums = torch.zeros(3, dtype=torch.float64, device=self._accelerator.device)
        passes = step.plan.of(self._accelerator.process_index)
        mine = {number: self._ready(step, number, next(batches)) for number, _ in passes}
        kept: dict[int, Sequences] = {}
        with torch.set_grad_enabled(len(mine) == 1):
            for number, batch in mine.items():
                kept[number] = self._encode_text(step, number, batch)
        texts = self._gather(step, kept)
        if len(mine) > 1:
            kept = {}
        for number, batch in mine.items():
            self._about_to_run(step, number, batch, "audio")
            with self._accelerator.autocast():
                audio = self._model.encode_audio(batch)
                first, emotion = step.first[number], self._emotion(batch)
                tasks = self._model.task_sums(audio, texts, step.labels, step.pairing, first, step.seeds, emotion)
                loss = self._weighted(tasks, step)
            self._accelerator.backward(loss)
            sums += _items(tasks)
        assert texts.states.grad is not None
        at_texts = sum_over_processes(self._accelerator, texts.states.grad)
        assert self._model.text is not None
        of_text = {id(parameter) for parameter in self._model.text.parameters()}
        gradients.start(parameter for parameter in self._model.parameters() if id(parameter) not in of_text)
        for number, batch in mine.items():
            text = kept.get(number) or self._encode_text(step, number, batch)
            own = slice(step.first[number], step.first[number + 1])
            torch.autograd.backward(text.states, at_texts[own, : text.states.shape[1]])
        gradients.start(self._model.text.parameters())
        return sums

    def _emotion(self, batch: Batch) -> Callable[[Tensor], Tensor] | None:
        """The loss of the emotion of a pass, where it is not that of the paper."""
        return None if self._loss is None or self._loss.plain else partial(self._loss.each, batch.rows)

    def _encode_text(self, step: _Step, number: int, batch: Batch) -> Sequences:
        self._about_to_run(step, number, batch, "text")
        with self._accelerator.autocast():
            text = self._model.encode_text(batch)
        assert text is not None
        return text

    def _gather(self, step: _Step, own: dict[int, Sequences]) -> Sequences:
        """Texts of the whole step as leaves of a new graph, those of other processes included."""
        device = self._accelerator.device
        counts = self._reader.wordpieces(step.plan.placed)
        some = next(iter(own.values())).states
        parts = []
        for number, rows in enumerate(step.plan.micro_batches):
            if number in own:
                parts.append(Sequences(states=own[number].states.detach(), real=None))
            else:
                longest = max(self._reader.wordpieces(rows))
                parts.append(Sequences(states=some.new_zeros(len(rows), longest, some.shape[2]), real=None))
        # Every row is another process' zero: the sum is the row itself.
        states = sum_over_processes(self._accelerator, stacked(parts).states)
        return Sequences(states=states.requires_grad_(), real=real_units(counts, max(counts), device))

    def _ready(self, step: _Step, number: int, batch: Batch) -> Batch:
        """A batch on the device, with what its dropout is drawn from."""
        seeds = step.seeds[step.first[number] : step.first[number + 1]]
        return replace(batch.to(self._accelerator.device), seeds=seeds)

    def _about_to_run(self, step: _Step, number: int, batch: Batch, what: str) -> None:
        """Say so, and seed what draws from the global generators: an encoder that runs twice draws the same twice."""
        self._position.passes(len(batch.rows), len(batch.rows) * max(self._reader.seconds[row] for row in batch.rows))
        seed_forward_pass(self._seed, self._fold, step.epoch, step.plan.step, number, what)

    def _weighted(self, tasks: TaskSums, step: _Step) -> Tensor:
        """This pass' part of the loss of the step."""
        first, second = self._config.aux_weights
        loss = tasks.main if tasks.aux1 is None else tasks.main + first * tasks.aux1
        loss = loss / step.plan.utterances
        if tasks.aux2 is None or step.pairing is None:
            return loss
        return loss + second * tasks.aux2 / max(len(step.pairing.audio), 1)


def _items(tasks: TaskSums) -> Tensor:
    """Losses summed over items: emotion, task 1, task 2; 0 for a task that is not trained."""
    nothing = tasks.main.new_zeros(())
    parts = [each if each is not None else nothing for each in (tasks.main, tasks.aux1, tasks.aux2)]
    return torch.stack(parts).detach().double()
