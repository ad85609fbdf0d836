"""One optimiser step: forward and backward passes of this process, weighted so that the cut does not matter."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mer.finetune.auxiliary import draw_pairing
from mer.finetune.batch import Batch, Pairing
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError
from mer.finetune.losses import Sums
from mer.finetune.model import Output
from mer.finetune.optimizer import Optimizer
from mer.finetune.processes import Position, sum_over_processes
from mer.finetune.randomness import seed_forward_pass
from mer.finetune.sampler import StepPlan
from mer.protocol import numpy_generator


class Stepper:
    """Takes the steps of one run.

    The gradient of a step is that of the mean over its N utterances, and over its M pairs for task 2:
    sum over passes of n/N (L_MER + a1 L_aux1) + m/M a2 L_aux2, with the pass' own n utterances and m pairs. It is
    multiplied with the number of processes, since `DistributedDataParallel` averages over them.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        labels: Sequence[int],
        seconds: Mapping[int, float],
        fold: str,
        config: FinetuneConfig,
        seed: int,
        accelerator: Accelerator,
        position: Position,
    ) -> None:
        """Nothing is trained yet.

        Args:
            model: as accelerate prepared it.
            optimizer: of the model.
            labels: class number of each row of the corpus.
            seconds: length of each row that is trained on.
            fold: test session.
            config: auxiliary tasks and their weights.
            seed: of the run.
            accelerator: of this process.
            position: told of each forward pass.
        """
        self._model, self._optimizer, self._labels, self._seconds = model, optimizer, labels, seconds
        self._fold, self._config, self._seed = fold, config, seed
        self._accelerator, self._position = accelerator, position

    def take(self, epoch: int, plan: StepPlan, batches: Iterator[Batch]) -> tuple[Sums, float]:
        """Gradients of a step, over all processes.

        Args:
            epoch: from 1.
            plan: the step.
            batches: gives this process' batches of the step next.

        Returns:
            Losses over all processes, and the norm of the gradients before clipping.

        Raises:
            DivergedError: a loss or gradient that is no number.
        """
        pairs = sum(partnered([self._labels[row] for row in rows]) for rows in plan.micro_batches)
        sums = torch.zeros(3, dtype=torch.float64, device=self._accelerator.device)
        passes = plan.of(self._accelerator.process_index)
        self._optimizer.zero()
        for turn, (number, rows) in enumerate(passes):
            batch = next(batches)
            assert batch.rows == rows
            pairing = self._pairing(batch, epoch, plan.step, number)
            self._position.passes(len(rows), len(rows) * max(self._seconds[row] for row in rows))
            batch = batch.to(self._accelerator.device)
            seed_forward_pass(self._seed, self._fold, epoch, plan.step, number)
            last = turn == len(passes) - 1
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                output = self._model(batch, None if pairing is None else pairing.to(self._accelerator.device))
                of_pairs = 0 if pairing is None else len(pairing.audio)
                loss = self._weighted(output, len(rows) / plan.utterances, of_pairs / max(pairs, 1))
                self._accelerator.backward(loss * plan.processes)
            sums += _items(output, len(rows), of_pairs)
        main, aux1, aux2 = sum_over_processes(self._accelerator, sums).tolist()
        if "2" not in self._config.aux:
            pairs = 0
        found = Sums(utterances=plan.utterances, pairs=pairs, main=main, aux1=aux1, aux2=aux2)
        # Every process sees the same sums and the same gradients: all stop together.
        norm = self._optimizer.clip()
        for what, value in (("loss", found.means(self._config).total), ("norm of the gradients", norm)):
            if not math.isfinite(value):
                raise DivergedError(
                    f"{self._position}: the {what} is {value}; lower --encoder-rate or --fusion-rate, or try --precision float32"
                )
        return found, norm

    def _pairing(self, batch: Batch, epoch: int, step: int, number: int) -> Pairing | None:
        if self._config.aux == "none":
            return None
        random = numpy_generator(self._seed, "pairing", self._fold, epoch, step, number)
        return draw_pairing(batch.labels, random)

    def _weighted(self, output: Output, of_utterances: float, of_pairs: float) -> Tensor:
        first, second = self._config.aux_weights
        loss = output.main if output.aux1 is None else output.main + first * output.aux1
        loss = of_utterances * loss
        return loss if output.aux2 is None else loss + of_pairs * second * output.aux2


def partnered(labels: Sequence[int]) -> int:
    """Utterances of a forward pass that have another one of their class in it: the pairs of task 2."""
    return sum(count for count in Counter(labels).values() if count > 1)


def _items(output: Output, utterances: int, pairs: int) -> Tensor:
    """Losses times their items: emotion, task 1, task 2; 0 for a task that is not trained."""
    nothing = output.main.new_zeros(())
    aux1 = nothing if output.aux1 is None else output.aux1 * utterances
    aux2 = nothing if output.aux2 is None else output.aux2 * pairs
    return torch.stack([output.main * utterances, aux1, aux2]).detach().double()
