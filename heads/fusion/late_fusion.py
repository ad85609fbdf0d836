"""Late fusion: one linear branch per granularity, logits added."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.fusion.head import Head, StackedUnits
from mer.heads.fusion.linear_branch import LinearBranch, branch_logits, hidden_units
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.dropout import Generators
from mer.heads.stacked.layer_average import LayerAverage
from mer.heads.stacked.packed_mean import packed_mean


class LateFusion(Head):
    """`sum_i (W3_i l_i + b3_i)` over the granularities i (Zhao 2022, eq. 3, before the softmax).

    With one branch it is the paper's "linear" head.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        *,
        hidden: int,
        classes: int,
        dropout: float,
        generator: torch.Generator,
        softmax: bool = False,
    ) -> None:
        """Make one branch per granularity."""
        super().__init__()
        self.averages = nn.ModuleDict(
            {name: LayerAverage(layers=layers, dim=dim, softmax=softmax) for name, (layers, dim) in shapes.items()}
        )
        self.branches = nn.ModuleDict(
            {
                name: LinearBranch(dim=dim, hidden=hidden, classes=classes, dropout=dropout, generator=generator)
                for name, (_, dim) in shapes.items()
            }
        )

    @classmethod
    def together_on(cls, path: DevicePath) -> bool:
        """See `Head.together_on`."""
        return True

    @classmethod
    def logits(
        cls, heads: Sequence[Head], units: Mapping[str, StackedUnits], generators: Generators
    ) -> Float[Tensor, "utterances classes"]:
        """See `Head.logits`."""
        summands = []
        for name, each in units.items():
            branches = [head.branch(name) for head in heads if isinstance(head, LateFusion)]
            hidden = hidden_units(branches, [head.average(name) for head in heads], each, generators)
            summands.append(branch_logits(branches, packed_mean(hidden, each.lengths), each.utterances))
        return torch.stack(summands).sum(0)

    def branch(self, granularity: str) -> LinearBranch:
        """The branch of one granularity."""
        module = self.branches[granularity]
        if not isinstance(module, LinearBranch):
            raise TypeError(f"{granularity} is a {type(module).__name__}")
        return module
