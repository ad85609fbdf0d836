"""A head of the user's own: plain PyTorch for one run, trained beside the other runs as every head is."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mer.heads.errors import HeadError
from mer.heads.fusion.head import Head, StackedUnits
from mer.heads.stacked.device.draws import Draws
from mer.heads.stacked.dropout import Generators
from mer.heads.stacked.grouped import grouped_affine
from mer.heads.stacked.layer_average import LayerAverage
from mer.heads.stacked.packed_mean import packed_mean

_DRAWING = threading.Lock()
"""PyTorch's own generator is one for all threads: who draws from it for one run draws alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Units of one granularity of some utterances of one run, after the layer average (Zhao 2022, eq. 1)."""

    values: Float[Tensor, "units dim"]
    """Packed: the units of all utterances, one utterance after the other."""
    lengths: Int64[Tensor, " utterances"]
    """Units of each utterance, at least 1, on the CPU."""

    def mean(self) -> Float[Tensor, "utterances dim"]:
        """Mean over the units of each utterance."""
        return packed_mean(self.values, self.lengths)

    def mask(self) -> Bool[Tensor, "utterances longest"]:
        """True where `padded` holds a unit."""
        places = torch.arange(int(self.lengths.max()))
        return (places < self.lengths[:, None]).to(self.values.device)

    def padded(self) -> Float[Tensor, "utterances longest dim"]:
        """One row of units per utterance, zeros after its last."""
        return nn.utils.rnn.pad_sequence(list(torch.split(self.values, self.lengths.tolist())), batch_first=True)


class OwnHead(Head):
    """The layer averages of one run, and a module that makes logits of their units.

    The module's `forward` takes granularity to `Units` and gives (utterances, classes). Where its class has a class method
    `stacked(modules, units, generators)`, as `Head.logits` but with modules for heads, that one computes all runs at once.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        make: Callable[[], nn.Module],
        *,
        generator: torch.Generator,
        softmax: bool = False,
    ) -> None:
        """Make the module.

        Args:
            shapes: granularity to (layers, dim).
            make: makes the module; what it draws from PyTorch's own generator depends on `generator` only.
            generator: draws the initial weights.
            softmax: see `LayerAverage`.
        """
        super().__init__()
        self.averages = nn.ModuleDict(
            {name: LayerAverage(layers=layers, dim=dim, softmax=softmax) for name, (layers, dim) in shapes.items()}
        )
        with drawing_from(generator):
            self.module = make()

    @classmethod
    def logits(
        cls, heads: Sequence[Head], units: Mapping[str, StackedUnits], generators: Generators
    ) -> Float[Tensor, "utterances classes"]:
        """See `Head.logits`."""
        if isinstance(generators, Draws):
            raise TypeError("a head of the user's own draws from generators, run by run")
        modules = [head.module for head in heads if isinstance(head, OwnHead)]
        after = {name: _after_norm(name, heads, each) for name, each in units.items()}
        for module in modules:
            module.train(generators is not None)
        if hasattr(modules[0], "stacked"):
            stacked: Any = type(modules[0])
            logits: Tensor = stacked.stacked(modules, after, generators)
            return logits
        return one_by_one(modules, after, generators)


def one_by_one(
    modules: Sequence[nn.Module], units: Mapping[str, StackedUnits], generators: Sequence[torch.Generator] | None
) -> Float[Tensor, "utterances classes"]:
    """Logits of several runs, each by its own module's `forward`; arguments as for `Head.logits`.

    Raises:
        HeadError: logits of another shape.
    """
    parts = {name: _of_runs(each) for name, each in units.items()}
    found = []
    for number, module in enumerate(modules):
        own = {name: each[number] for name, each in parts.items()}
        with nullcontext() if generators is None else drawing_from(generators[number]):
            logits = module(own)
        utterances = len(next(iter(own.values())).lengths)
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != utterances:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise HeadError(
                f"{type(module).__name__}.forward must give (utterances, classes), here ({utterances}, ...): got {given}"
            )
        found.append(logits)
    return torch.cat(found)


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """PyTorch's own generator of that device goes on where `generator` is, and gives it back; one thread at a time."""
    device = generator.device
    shared = torch.default_generator if device.type == "cpu" else torch.cuda.default_generators[device.index or 0]
    with _DRAWING:
        before = shared.get_state()
        shared.set_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(shared.get_state())
            shared.set_state(before)


def _after_norm(name: str, heads: Sequence[Head], units: StackedUnits) -> StackedUnits:
    """The units with each run's gain and bias of the layer norm."""
    averages = [head.average(name) for head in heads]
    values = grouped_affine(units.values, [each.gain for each in averages], [each.bias for each in averages], units.sizes)
    return StackedUnits(values=values, lengths=units.lengths, sizes=units.sizes, utterances=units.utterances)


def _of_runs(units: StackedUnits) -> list[Units]:
    values, lengths = torch.split(units.values, list(units.sizes)), torch.split(units.lengths, list(units.utterances))
    return [Units(values=value, lengths=length) for value, length in zip(values, lengths, strict=True)]
