"""The least that training can cost on this machine: reading the features twice, and the matrix products."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mer.bench.train_features import CLASSES, DIM, LAYERS
from mer.heads import HeadConfig
from mer.heads.features.step import Step
from mer.heads.fusion.attention import default_attention_heads

Lengths = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What this machine does at best."""

    bytes_per_second: float
    """Of memory that is read in order."""
    flops: float
    """Multiplications and additions per second in float32 products of the head's size: a layer's output and both gradients."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an epoch needs whatever the program."""

    bytes: float
    """Features that are read."""
    flops: float
    """Multiplications and additions of all matrix products."""

    def seconds(self, rates: Rates) -> float:
        """The floor."""
        return self.bytes / rates.bytes_per_second + self.flops / rates.flops


def measure(clock: Callable[[], float], device: torch.device, shape: tuple[int, int, int], *, repeats: int = 12) -> Rates:
    """The rates of this moment, each the fastest of several.

    Args:
        clock: see `clock_of`.
        device: what is measured.
        shape: units, inputs and outputs of the product.
        repeats: how often each is measured.
    """
    units, inputs, outputs = shape
    view = torch.ones(2**27, device=device)
    values, weights = torch.randn(units, inputs, device=device), torch.randn(inputs, outputs, device=device)
    gradient, out = torch.randn(units, outputs, device=device), torch.empty(units, outputs, device=device)
    of_values, of_weights = torch.empty_like(values), torch.empty(outputs, inputs, device=device)

    def fastest(work: Callable[[], object]) -> float:
        found = []
        for _ in range(repeats):
            start = clock()
            work()
            found.append(clock() - start)
        return min(found)

    reading = fastest(lambda: view.sum())
    products = fastest(lambda: torch.mm(values, weights, out=out))
    products += fastest(lambda: torch.mm(gradient, weights.T, out=of_values))
    products += fastest(lambda: torch.mm(gradient.T, values, out=of_weights))
    return Rates(bytes_per_second=view.nbytes / reading, flops=3 * 2 * units * inputs * outputs / products)


def work_of(config: HeadConfig, lengths: Mapping[str, Lengths], steps: Sequence[tuple[Step, bool]]) -> Work:
    """What the given steps need.

    Each utterance that a step of several runs needs is read once forward and once backward, whatever the number of
    runs. A layer's product costs the same three times: its output, and the gradients of weights and inputs. Steps that
    are not trained on are read once and have one product of each three.

    Args:
        config: the head.
        lengths: granularity to units of each utterance.
        steps: what was read, and whether it was trained on.
    """
    total_bytes, flops = 0.0, 0.0
    for step, trained in steps:
        units = sum(int(each[step.distinct].sum()) for each in lengths.values())
        total_bytes += units * LAYERS * DIM * 2 * (2 if trained else 1)
        rows = np.concatenate(step.rows)
        products = multiplications(config, {name: each[rows] for name, each in lengths.items()})
        flops += 2 * products * (3 if trained else 1)
    return Work(bytes=total_bytes, flops=flops)


def multiplications(config: HeadConfig, lengths: Mapping[str, Lengths]) -> float:
    """Multiplications of all matrix products of a head, forward, for the given utterances."""
    utterances, units = len(next(iter(lengths.values()))), float(sum(each.sum() for each in lengths.values()))
    hidden, layers = config.hidden, config.attention_layers
    heads = config.attention_heads or default_attention_heads(DIM)
    if config.fusion in {"late", "linear"}:
        return units * hidden * (DIM + hidden) + len(lengths) * utterances * hidden * CLASSES
    if config.fusion == "concatenation":
        return units * hidden * (DIM + hidden) + utterances * hidden * CLASSES
    feed_forward = 2 * config.feed_forward_ratio * DIM**2
    if config.fusion == "transformer":
        (own,) = lengths.values()
        per_layer = attention_multiplications(own, own, heads) + units * feed_forward
        return layers * per_layer + utterances * hidden * (DIM + CLASSES)
    text, total = lengths["T"], 0.0
    speech = [each for name, each in lengths.items() if name != "T"]
    for each in speech:
        total += layers * attention_multiplications(each, text, heads)
        total += layers * attention_multiplications(text, each, heads)
        total += layers * float(each.sum() + text.sum()) * feed_forward
    width = len(speech) * DIM
    return total + utterances * width * (width + CLASSES)


def attention_multiplications(queries: Lengths, keys: Lengths, heads: int) -> float:
    """Multiplications of one attention, projections included, in the cheapest of three orders.

    Either both sides are projected (the textbook), or the four projections are all applied to the keys, or all to the
    queries; the scores and the weighted sum are then as wide as the input, for each attention head.
    """
    pairs = float(queries @ keys)
    textbook = 2 * float(queries.sum() + keys.sum()) * DIM**2 + 2 * pairs * DIM
    moved = 4 * float(min(queries.sum(), keys.sum())) * DIM**2 + 2 * pairs * heads * DIM
    return min(textbook, moved)


def product_shape(config: HeadConfig, lengths: Mapping[str, Lengths]) -> tuple[int, int, int]:
    """Units of a step, inputs and outputs of the head's largest layer, in the granularity with the most units."""
    units = max(1, round(config.batch * max(float(each.mean()) for each in lengths.values())))
    attends = config.fusion in {"transformer", "coattention"}
    return units, DIM, config.feed_forward_ratio * DIM if attends else config.hidden
