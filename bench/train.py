"""CPU-seconds per epoch of the late head: packed float16 features beside a padded DataLoader loop.

Both train the same head from the same weights on the same batches in the same order, without dropout, and
must end with the same losses. The loop is how s3prl's Featurizer works: load (units, layers, dim) per
utterance, pad the batch to float32, stack the layers, weight and sum them; then linear layers on the padded
batch and a masked mean. Rounds are interleaved in one process and the fastest of each is kept.

    python bench/train.py --utterances 400 --rounds 2 --threads 1
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mer.heads import FeatureSource, LateFusion, LinearBranch
from mer.heads.feature_source import as_tensors

LAYERS, DIM, CLASSES, BATCH = 12, 768, 4, 32
# Seconds of an IEMOCAP utterance: mean 4.55, and the units per second of each granularity.
RATES = {"F": 50.0, "P": 10.0, "S": 4.5, "W": 3.0, "T": 3.3}


class RandomUnits:
    """Random float16 features of one granularity, in memory."""

    def __init__(self, lengths: np.ndarray, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.lengths, self.layers, self.dim = lengths, LAYERS, DIM
        self.arrays = []
        for length in lengths:
            array = random.standard_normal((length, LAYERS, DIM), dtype=np.float32).astype(np.float16)
            array.flags.writeable = False
            self.arrays.append(array)
        self.nbytes = sum(array.nbytes for array in self.arrays)

    def views(self, rows: Any) -> list[np.ndarray]:
        """The arrays themselves."""
        return [self.arrays[row] for row in rows]

    def release(self, rows: Any) -> None:
        """Nothing to release."""


def lengths_like_iemocap(utterances: int, granularity: str) -> np.ndarray:
    """Units per utterance: lognormal seconds with mean 4.55 and median 3.58, between 0.6 and 34."""
    mu, sigma = math.log(3.58), math.sqrt(2 * math.log(4.55 / 3.58))
    seconds = np.random.default_rng(7).lognormal(mu, sigma, utterances).clip(0.6, 34)
    return np.maximum(1, np.round(seconds * RATES[granularity])).astype(np.int64)


def make_head(granularities: list[str]) -> LateFusion:
    """The head of Zhao 2022 without dropout, so that both ways compute the same numbers."""
    generator = torch.Generator().manual_seed(0)
    shapes = {name: (LAYERS, DIM) for name in granularities}
    return LateFusion(shapes, hidden=128, classes=CLASSES, dropout=0.0, generator=generator)


def packed_epoch(features: dict[str, RandomUnits], labels: Tensor, order: list[int]) -> list[float]:
    """One epoch of `mer`."""
    sources = {name: FeatureSource(each, device=torch.device("cpu")) for name, each in features.items()}
    head = make_head(list(features))
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    losses = []
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        optimizer.zero_grad()
        batches = {name: source.batch(rows) for name, source in sources.items()}
        loss = F.cross_entropy(head(batches, {}, None), labels[rows])
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


class Utterances(Dataset[dict[str, np.ndarray]]):
    """One item per utterance, every granularity as stored."""

    def __init__(self, features: dict[str, RandomUnits], labels: Tensor) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"label": self.labels[row], **{name: each.arrays[row] for name, each in self.features.items()}}


def pad(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch padded to (utterances, units, layers, dim) in float32, with its lengths."""
    batch: dict[str, Any] = {"label": torch.stack([item["label"] for item in items])}
    for name in items[0].keys() - {"label"}:
        units = [as_tensors([item[name]])[0].float() for item in items]
        batch[name] = torch.nn.utils.rnn.pad_sequence(units, batch_first=True)
        batch[f"{name} lengths"] = torch.tensor([len(each) for each in units])
    return batch


def padded_logits(branch: LinearBranch, padded: Tensor, lengths: Tensor) -> Tensor:
    """Eq. 1 to 3 on a padded batch, layers stacked first as a featurizer gets them from an encoder."""
    stacked = torch.stack(padded.unbind(2), 0)  # (layers, utterances, units, dim)
    average = branch.average
    shares = (average.weights / average.weights.sum()).view(-1, 1)
    summed = (shares * stacked.view(LAYERS, -1)).sum(0).view(*stacked.shape[1:])
    units = F.layer_norm(summed, (DIM,), average.gain, average.bias)
    hidden = F.relu(F.linear(F.relu(F.linear(units, branch.w1, branch.b1)), branch.w2, branch.b2))
    mask = (torch.arange(hidden.shape[1]) < lengths[:, None]).to(hidden.dtype)
    pooled = (hidden * mask[:, :, None]).sum(1) / lengths[:, None]
    return F.linear(pooled, branch.w3, branch.b3)


def padded_epoch(features: dict[str, RandomUnits], labels: Tensor, order: list[int]) -> list[float]:
    """One epoch of the usual loop."""
    loader: DataLoader[dict[str, Any]] = DataLoader(
        Utterances(features, labels),
        batch_size=BATCH,
        sampler=_Order(order),
        collate_fn=pad,
    )
    head = make_head(list(features))
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    losses = []
    for batch in loader:
        optimizer.zero_grad()
        logits = torch.zeros(len(batch["label"]), CLASSES)
        for name, branch in head.branches.items():
            if not isinstance(branch, LinearBranch):
                raise TypeError(f"branch {name} is a {type(branch).__name__}")
            logits = logits + padded_logits(branch, batch[name], batch[f"{name} lengths"])
        loss = F.cross_entropy(logits, batch["label"])
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


class _Order(torch.utils.data.Sampler[int]):
    """Rows in a given order."""

    def __init__(self, order: list[int]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


def measured(epoch: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """CPU-seconds of one epoch, and its losses."""
    start = time.process_time()
    losses = epoch()
    return time.process_time() - start, losses


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=400, help="utterances of random features in memory")
    parser.add_argument("--granularity", default="F+S+T", help="branches of the late head")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, interleaved; the fastest of each is kept")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    granularities = options.granularity.split("+")
    features = {
        name: RandomUnits(lengths_like_iemocap(options.utterances, name), seed) for seed, name in enumerate(granularities)
    }
    random = np.random.default_rng(1)
    labels = torch.from_numpy(random.integers(0, CLASSES, options.utterances))
    order = random.permutation(options.utterances).tolist()
    ways = {"packed": packed_epoch, "padded": padded_epoch}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            spent, losses[name] = measured(lambda way=way: way(features, labels, order))  # type: ignore[misc]
            seconds[name].append(spent)
    np.testing.assert_allclose(losses["packed"], losses["padded"], rtol=2e-3)
    best = {name: min(values) for name, values in seconds.items()}
    report = {
        "utterances": options.utterances,
        "branches": options.granularity,
        "units": {name: int(each.lengths.sum()) for name, each in features.items()},
        "gib": round(sum(each.nbytes for each in features.values()) / 2**30, 3),
        "threads": options.threads,
        "packed_cpu_seconds": round(best["packed"], 3),
        "padded_cpu_seconds": round(best["padded"], 3),
        "ratio": round(best["padded"] / best["packed"], 1),
        "ratio_of_medians": round(statistics.median(seconds["padded"]) / statistics.median(seconds["packed"]), 1),
        "largest_difference_of_losses": float(np.abs(np.subtract(losses["packed"], losses["padded"])).max()),
    }
    if options.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:30} {value}")


if __name__ == "__main__":
    main()
