"""The usual loop: a padded DataLoader, layers stacked as s3prl's Featurizer stacks them, and modules of `torch.nn`.

Each module starts from the weights of one of `mer`'s heads and computes the same function.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mer.bench.train_features import CLASSES, DIM, LAYERS, RandomUnits, clock_of
from mer.heads import CoattentionHead, Concatenation, Head, HeadConfig, Job, LateFusion, LayerAverage, TransformerHead
from mer.heads.features.feature_source import as_tensors
from mer.heads.fusion.attention import AttentionLayer
from mer.heads.fusion.build_head import build_head
from mer.heads.fusion.linear_branch import LinearBranch

Padded = tuple[Tensor, Tensor]
"""(utterances, units, dim), and which units are real."""


class Utterances(Dataset[dict[str, Any]]):
    """One item per utterance, every granularity as stored."""

    def __init__(self, features: Mapping[str, RandomUnits], targets: np.ndarray) -> None:
        self.features, self.targets = features, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"label": self.targets[row], **{name: each.arrays[row] for name, each in self.features.items()}}


def pad(items: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch padded to (utterances, units, layers, dim) in float32, with its lengths."""
    batch = {"label": torch.tensor([item["label"] for item in items])}
    for name in items[0].keys() - {"label"}:
        units = [as_tensors([item[name]])[0].float() for item in items]
        batch[name] = nn.utils.rnn.pad_sequence(units, batch_first=True)
        batch[f"{name} lengths"] = torch.tensor([len(each) for each in units])
    return batch


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A layer that starts from these values."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    return layer


def norm(gain: Tensor, bias: Tensor) -> nn.LayerNorm:
    """A normalisation that starts from these values."""
    layer = nn.LayerNorm(len(gain))
    layer.load_state_dict({"weight": gain.detach(), "bias": bias.detach()})
    return layer


class Average(nn.Module):
    """Eq. 1 of Zhao 2022; layers are stacked first, as a featurizer gets them from an encoder."""

    def __init__(self, average: LayerAverage) -> None:
        super().__init__()
        self.weights, self.norm = nn.Parameter(average.weights.detach().clone()), norm(average.gain, average.bias)

    def forward(self, padded: Tensor) -> Tensor:
        """(utterances, units, layers, dim) to (utterances, units, dim)."""
        stacked = torch.stack(padded.unbind(2), 0)
        shares = (self.weights / self.weights.sum()).view(-1, 1)
        summed = (shares * stacked.view(LAYERS, -1)).sum(0).view(*stacked.shape[1:])
        averaged: Tensor = self.norm(summed)
        return averaged


class Branch(nn.Module):
    """Two layers per unit, the mean over units, one layer."""

    def __init__(self, branch: LinearBranch) -> None:
        super().__init__()
        first, second = linear(branch.w1, branch.b1), linear(branch.w2, branch.b2)
        dropout = nn.Dropout(branch.dropout)
        self.units = nn.Sequential(first, nn.ReLU(), dropout, second, nn.ReLU(), dropout)
        self.out = linear(branch.w3, branch.b3)

    def forward(self, padded: Padded) -> Tensor:
        """Logits."""
        logits: Tensor = self.out(mean((self.units(padded[0]), padded[1])))
        return logits


class Attention(nn.Module):
    """One layer whose queries and keys may come from two sequences."""

    def __init__(self, layer: AttentionLayer) -> None:
        super().__init__()
        dim = len(layer.bq)
        self.attention = nn.MultiheadAttention(dim, layer.attention_heads, batch_first=True)
        projections = {
            "in_proj_weight": torch.cat([layer.wq, layer.wk, layer.wv]),
            "in_proj_bias": torch.cat([layer.bq, torch.zeros(dim), layer.bv]),
            "out_proj.weight": layer.wo,
            "out_proj.bias": layer.bo,
        }
        self.attention.load_state_dict({name: value.detach() for name, value in projections.items()})
        self.norm1, self.norm2 = norm(layer.gain1, layer.bias1), norm(layer.gain2, layer.bias2)
        dropout = nn.Dropout(layer.dropout)
        first, second = linear(layer.w1, layer.b1), linear(layer.w2, layer.b2)
        self.feed_forward = nn.Sequential(first, nn.ReLU(), dropout, second, dropout)

    def forward(self, queries: Padded, keys: Padded) -> Padded:
        """The queries' next state; without attention weights, which is torch's fastest."""
        units, real = queries
        attended, _ = self.attention(units, keys[0], keys[0], key_padding_mask=~keys[1], need_weights=False)
        units = self.norm1(units + attended)
        return self.norm2(units + self.feed_forward(units)), real


class PaddedHead(nn.Module):
    """Any of `mer`'s heads on padded batches."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.averages = nn.ModuleDict({name: Average(head.average(name)) for name in head.averages})

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits."""
        units = {name: (average(batch[name]), real(batch, name)) for name, average in self.averages.items()}
        return self.logits(units)

    def logits(self, units: Mapping[str, Padded]) -> Tensor:
        """Logits of averaged layers."""
        raise NotImplementedError


class PaddedLate(PaddedHead):
    """Late fusion, or one linear branch."""

    def __init__(self, head: LateFusion) -> None:
        super().__init__(head)
        self.branches = nn.ModuleDict({name: Branch(head.branch(name)) for name in head.branches})

    def logits(self, units: Mapping[str, Padded]) -> Tensor:
        """See `PaddedHead`."""
        return torch.stack([self.branches[name](each) for name, each in units.items()]).sum(0)


class PaddedConcatenation(PaddedHead):
    """One branch over the sequences one after the other."""

    def __init__(self, head: Concatenation) -> None:
        super().__init__(head)
        self.shared = Branch(head.shared)

    def logits(self, units: Mapping[str, Padded]) -> Tensor:
        """See `PaddedHead`."""
        sequence, real = (torch.cat(parts, 1) for parts in zip(*units.values(), strict=True))
        logits: Tensor = self.shared((sequence, real))
        return logits


class PaddedTransformer(PaddedHead):
    """Encoder layers over one granularity."""

    def __init__(self, head: TransformerHead) -> None:
        super().__init__(head)
        self.layers = nn.ModuleList(Attention(head.layer(depth)) for depth in range(len(head.layers)))
        first, second = linear(head.w1, head.b1), linear(head.w2, head.b2)
        self.out = nn.Sequential(first, nn.ReLU(), nn.Dropout(head.dropout), second)

    def logits(self, units: Mapping[str, Padded]) -> Tensor:
        """See `PaddedHead`."""
        (states,) = units.values()
        for layer in self.layers:
            states = layer(states, states)
        logits: Tensor = self.out(mean(states))
        return logits


class PaddedCoattention(PaddedHead):
    """Speech queries text and text queries speech, granularity by granularity."""

    def __init__(self, head: CoattentionHead) -> None:
        super().__init__(head)
        self.stacks = nn.ModuleDict()
        for name in head.stacks:
            pairs = [nn.ModuleList([Attention(layer.speech), Attention(layer.text)]) for layer in head.stack(name)]
            self.stacks[name] = nn.ModuleList(pairs)
        self.hidden = nn.Sequential(linear(head.w4, head.b4), nn.ReLU(), nn.Dropout(head.dropout))
        self.norm, self.out = norm(head.gain, head.bias), linear(head.w5, head.b5)

    def logits(self, units: Mapping[str, Padded]) -> Tensor:
        """See `PaddedHead`."""
        embeddings = []
        for name, layers in self.stacks.items():
            speech, text = units[name], units["T"]
            if not isinstance(layers, nn.ModuleList):
                raise TypeError(f"{name} is a {type(layers).__name__}")
            for pair in layers:
                speaking, reading = pair.children()
                speech, text = speaking(speech, text), reading(text, speech)
            embeddings.append((mean(speech) + mean(text)) / 2)
        c = torch.cat(embeddings, 1)
        logits: Tensor = self.out(self.norm(self.hidden(c) + c))
        return logits


def real(batch: Mapping[str, Tensor], granularity: str) -> Tensor:
    """Which units are no padding."""
    return torch.arange(batch[granularity].shape[1], device=batch[granularity].device) < batch[f"{granularity} lengths"][:, None]


def mean(padded: Padded) -> Tensor:
    """Mean over the real units."""
    units, real = padded
    mask = real.to(units.dtype)
    return (units * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def padded_head(head: Head) -> PaddedHead:
    """The same head for padded batches."""
    if isinstance(head, LateFusion):
        return PaddedLate(head)
    if isinstance(head, Concatenation):
        return PaddedConcatenation(head)
    if isinstance(head, TransformerHead):
        return PaddedTransformer(head)
    if isinstance(head, CoattentionHead):
        return PaddedCoattention(head)
    raise TypeError(f"no padded loop for a {type(head).__name__}")


def padded_epoch(
    features: Mapping[str, RandomUnits],
    targets: np.ndarray,
    config: HeadConfig,
    job: Job,
    batches: list[list[int]],
    device: torch.device,
) -> tuple[float, float]:
    """Seconds (see `clock_of`) and mean loss of one epoch of the usual loop, without setting up."""
    shapes = {name: (LAYERS, DIM) for name in features}
    head = padded_head(build_head(config, shapes, CLASSES, job.seed, job.fold.test_session)).to(device)
    optimizer = torch.optim.Adam(head.parameters(), lr=config.learning_rate or 1e-3, fused=True)
    loader: DataLoader[dict[str, Any]] = DataLoader(Utterances(features, targets), batch_sampler=batches, collate_fn=pad)
    clock, losses = clock_of(device), []
    start = clock()
    for batch in loader:
        batch = {name: value.to(device) for name, value in batch.items()}
        optimizer.zero_grad()
        loss = F.cross_entropy(head(batch), batch["label"])
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.detach() * len(batch["label"]))
    total = float(torch.stack(losses).double().sum())
    return clock() - start, total / sum(len(rows) for rows in batches)
