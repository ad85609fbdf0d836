"""One run: one head trained on one fold with one seed."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor

from mer.heads.config import HeadConfig
from mer.heads.errors import DivergedError
from mer.heads.feature_source import FeatureSource
from mer.heads.late_fusion import LateFusion
from mer.heads.statistics import Statistics
from mer.protocol import (
    Fold,
    confusion,
    integer_seed,
    numpy_generator,
    unweighted_accuracy,
    weighted_accuracy,
)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One line of `metrics.jsonl`, less the fold and the seed."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean cross-entropy over the training utterances as they were visited, with dropout."""
    validation_loss: float
    """Mean cross-entropy over the validation utterances; what early stopping looks at."""
    validation_ua: float
    """Unweighted accuracy of the validation utterances."""
    validation_wa: float
    """Weighted accuracy of the validation utterances."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun:
    """What is kept of a run."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    epochs: tuple[Epoch, ...]
    """All epochs that were trained."""
    best_epoch: int
    """The epoch with the lowest validation loss; the first of equals."""
    weights: dict[str, Tensor]
    """Parameters after `best_epoch`, on the CPU."""
    probabilities: Float[np.ndarray, "utterances classes"]
    """Softmax of the logits of the test utterances, in the order of `Fold.test`."""
    layer_shares: dict[str, list[float]]
    """Granularity to the learned w / sum(w)."""


class EarlyStopping:
    """Keeps the weights of the epoch with the lowest validation loss, and says when to stop.

    Only a strictly lower loss counts; training stops after `patience` epochs in a row without one.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._lowest = math.inf
        self._waited = 0
        self.best_epoch = 0
        self.weights: dict[str, Tensor] = {}

    def should_stop(self, epoch: int, loss: float, head: LateFusion) -> bool:
        """Take note of an epoch; True when training should end."""
        if loss < self._lowest:
            self._lowest, self._waited, self.best_epoch = loss, 0, epoch
            self.weights = {name: value.detach().clone() for name, value in head.state_dict().items()}
        else:
            self._waited += 1
        return self._waited >= self._patience


def build_head(config: HeadConfig, shapes: Mapping[str, tuple[int, int]], classes: int, seed: int, fold: str) -> LateFusion:
    """An untrained head whose weights depend on the seed and the fold only.

    Args:
        config: width and dropout.
        shapes: granularity to (layers, dim), in the order of `HeadConfig.branches`.
        classes: number of logits.
        seed: the run's seed.
        fold: the run's test session.
    """
    generator = torch.Generator().manual_seed(integer_seed(seed, "weights", fold))
    return LateFusion(shapes, hidden=config.hidden, classes=classes, dropout=config.dropout, generator=generator)


def train_run(
    *,
    sources: Mapping[str, FeatureSource],
    targets: Int64[np.ndarray, " utterances"],
    classes: int,
    fold: Fold,
    seed: int,
    config: HeadConfig,
    statistics: Mapping[str, Statistics],
    device: torch.device,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedRun:
    """Train, keep the best epoch by validation loss, and only then look at the test utterances.

    Adam and cross-entropy (Zhao 2022, section 3.2). The order of utterances is one permutation of all rows
    per seed and epoch, of which a fold takes its own training members.

    Args:
        sources: granularity to features, on `device`.
        targets: class number of every row.
        classes: number of classes.
        fold: rows of each part.
        seed: decides weights, order and dropout.
        config: the head and how to train it.
        statistics: granularity to this run's training statistics; empty without normalisation.
        device: where to train.
        on_epoch: called after each epoch.

    Raises:
        DivergedError: a loss that is not a number, with epoch and step.
    """
    shapes = {name: (source.layers, source.dim) for name, source in sources.items()}
    head = build_head(config, shapes, classes, seed, fold.test_session).to(device)
    dropout = torch.Generator(device).manual_seed(integer_seed(seed, "dropout", fold.test_session))
    optimizer = torch.optim.Adam(head.parameters(), lr=config.learning_rate)
    runner = _Runner(head, sources, statistics, config.batch, torch.from_numpy(targets).to(device))
    name = f"fold {fold.test_session}, seed {seed}"
    epochs: list[Epoch] = []
    stopping = EarlyStopping(config.patience)
    for number in range(1, config.max_epochs + 1):
        rows = _training_order(fold, len(targets), seed, number)
        train_loss = runner.train(rows, optimizer, dropout, f"{name}, epoch {number}")
        epoch = _validated(number, train_loss, runner.logits(fold.validation), targets[fold.validation], classes, name)
        epochs.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
        if stopping.should_stop(number, epoch.validation_loss, head):
            break
    head.load_state_dict(stopping.weights)
    return TrainedRun(
        fold=fold.test_session,
        seed=seed,
        epochs=tuple(epochs),
        best_epoch=stopping.best_epoch,
        weights={key: value.cpu() for key, value in stopping.weights.items()},
        probabilities=_probabilities(runner.logits(fold.test), name),
        layer_shares=head.layer_shares(),
    )


class _Runner:
    """Steps and predictions of one head over batches of rows."""

    def __init__(
        self,
        head: LateFusion,
        sources: Mapping[str, FeatureSource],
        statistics: Mapping[str, Statistics],
        batch: int,
        labels: Tensor,
    ) -> None:
        self._head, self._sources, self._batch, self._labels = head, sources, batch, labels
        self._statistics = {name: each.to(labels.device) for name, each in statistics.items()}

    def train(self, rows: np.ndarray, optimizer: torch.optim.Optimizer, dropout: torch.Generator, name: str) -> float:
        """One epoch; mean loss over the utterances."""
        losses = []
        for part in self._batches(rows):
            optimizer.zero_grad()
            loss = F.cross_entropy(self._forward(part, dropout), self._labels[part])
            torch.autograd.backward(loss)
            optimizer.step()
            self._done(part)
            losses.append(loss.detach() * len(part))
        values = torch.stack(losses)
        # Looked at once per epoch: on a GPU every look waits for the device.
        finite = values.isfinite().cpu().numpy()
        if not finite.all():
            step = int(np.argmin(finite)) + 1
            raise DivergedError(f"{name}, step {step}: the loss is {float(values[step - 1])}")
        return float(values.double().sum()) / len(rows)

    def logits(self, rows: np.ndarray) -> Float[Tensor, "utterances classes"]:
        """Logits of some rows, without dropout."""
        found = []
        with torch.inference_mode():
            for part in self._batches(rows):
                found.append(self._forward(part, None))
                self._done(part)
        return torch.cat(found)

    def _forward(self, part: list[int], dropout: torch.Generator | None) -> Tensor:
        batches = {name: source.batch(part) for name, source in self._sources.items()}
        logits: Tensor = self._head(batches, self._statistics, dropout)
        return logits

    def _done(self, part: list[int]) -> None:
        for source in self._sources.values():
            source.done(part)

    def _batches(self, rows: np.ndarray) -> Iterator[list[int]]:
        for start in range(0, len(rows), self._batch):
            yield rows[start : start + self._batch].tolist()


def _training_order(fold: Fold, utterances: int, seed: int, epoch: int) -> np.ndarray:
    order = numpy_generator(seed, "order", epoch).permutation(utterances)
    member = np.zeros(utterances, dtype=np.bool_)
    member[fold.train] = True
    return order[member[order]]


def _validated(
    number: int, train_loss: float, logits: Tensor, truth: Int64[np.ndarray, " utterances"], classes: int, name: str
) -> Epoch:
    loss = float(F.cross_entropy(logits.double(), torch.from_numpy(truth).to(logits.device)))
    if not math.isfinite(loss):
        raise DivergedError(f"{name}, epoch {number}: the validation loss is {loss}")
    matrix = confusion(truth, logits.argmax(1).cpu().numpy(), classes)
    return Epoch(
        epoch=number,
        train_loss=train_loss,
        validation_loss=loss,
        validation_ua=unweighted_accuracy(matrix),
        validation_wa=weighted_accuracy(matrix),
    )


def _probabilities(logits: Tensor, name: str) -> np.ndarray:
    found = logits.double().softmax(1).cpu().numpy()
    lost = int(np.isnan(found).any(1).sum())
    if lost:
        raise DivergedError(f"{name}: the logits of {lost} test utterances are no numbers")
    return found
