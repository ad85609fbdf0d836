"""What every head is: parameters of one run, and logits of many runs at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor, nn

from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.layer_average import LayerSums
from mer.heads.stacked.dropout import Generators
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
    sizes: Sequence[int]
    """Units of each run."""
    utterances: Sequence[int]
    """Utterances of each run."""


class SummedUnits(StackedUnits):
    """Units whose values are computed when somebody asks: on the device path a linear layer takes the sums themselves."""

    def __init__(self, sums: LayerSums, lengths: Int64[Tensor, " utterances"], utterances: Sequence[int]) -> None:
        """As for `StackedUnits`; `sums` knows the units of each run."""
        for name, value in (("sums", sums), ("lengths", lengths), ("sizes", sums.rows), ("utterances", utterances)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Tensor:
        """`values`, once."""
        if name != "values":
            raise AttributeError(name)
        object.__setattr__(self, "values", self.sums.normalized())
        return self.values

    sums: LayerSums


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
        generators: Generators,
    ) -> Float[Tensor, "utterances classes"]:
        """Logits of every utterance of every run.

        Args:
            heads: one per run, all of this class and of one shape.
            units: granularity to units.
            generators: draw each run's dropout; None evaluates without.
        """
        raise NotImplementedError

    @classmethod
    def together_on(cls, path: DevicePath) -> bool:
        """Whether `logits` also takes one head whose parameters have the runs before their own axes, with `RunRows` as sizes.

        Others are computed run by run on a device.
        """
        return False

    def average(self, granularity: str) -> LayerAverage:
        """The layer average of one granularity."""
        module = self.averages[granularity]
        if not isinstance(module, LayerAverage):
            raise TypeError(f"{granularity} is a {type(module).__name__}")
        return module

    def layer_shares(self) -> dict[str, list[float]]:
        """What each encoder layer contributes to each granularity's average: the learned w / sum(w)."""
        return {name: self.average(name).shares().tolist() for name in self.averages}
