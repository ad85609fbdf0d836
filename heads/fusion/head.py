"""What every head is: parameters of one run, and logits of many runs at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mer.heads.stacked.layer_average import LayerAverage


@dataclass(frozen=True, kw_only=True, eq=False)
class StackedUnits:
    """Units of one granularity for the steps of several runs, run after run, utterance after utterance.

    Every granularity of a step holds the same utterances in the same order.
    """

    values: Float[Tensor, "units dim"]
    """Layer averages (eq. 1 of Zhao 2022) normalised to mean 0 and variance 1, before LN's gain and bias."""
    lengths: Int64[Tensor, " utterances"]
    """Units of each utterance, at least 1, on the CPU."""
    sizes: tuple[int, ...]
    """Units of each run."""
    utterances: tuple[int, ...]
    """Utterances of each run."""


class Head(nn.Module):
    """One run's parameters. Subclasses compute the logits of several runs of one shape in one go.

    A head is made with `shapes` (granularity to layers and dim, in the order in which the weights are drawn), `classes` (how many
    logits), its options (fields of `HeadConfig`), `generator` (draws the initial weights; the global one is never used) and
    `softmax` (see `LayerAverage`).
    """

    averages: nn.ModuleDict
    """Granularity to its `LayerAverage`."""

    @classmethod
    def logits(
        cls,
        heads: Sequence["Head"],
        units: Mapping[str, StackedUnits],
        generators: Sequence[torch.Generator] | None,
    ) -> Float[Tensor, "utterances classes"]:
        """Logits of every utterance of every run.

        Args:
            heads: one per run, all of this class and of one shape.
            units: granularity to units.
            generators: draw each run's dropout; None evaluates without.
        """
        raise NotImplementedError

    def average(self, granularity: str) -> LayerAverage:
        """The layer average of one granularity."""
        module = self.averages[granularity]
        if not isinstance(module, LayerAverage):
            raise TypeError(f"{granularity} is a {type(module).__name__}")
        return module

    def layer_shares(self) -> dict[str, list[float]]:
        """What each encoder layer contributes to each granularity's average: the learned w / sum(w)."""
        return {name: self.average(name).shares().tolist() for name in self.averages}
