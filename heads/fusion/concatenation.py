"""Concatenation: the units of all granularities in one sequence, then one linear branch."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.errors import HeadError
from mer.heads.fusion.head import Head, StackedUnits
from mer.heads.fusion.linear_branch import LinearBranch, branch_logits, hidden_units
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.dropout import Generators
from mer.heads.stacked.layer_average import LayerAverage
from mer.heads.stacked.packed_mean import packed_mean


class Concatenation(Head):
    """Early fusion by concatenation along the sequence (Zhao 2022, end of section 2.3).

    "we concatenate text and frame-level speech embeddings before feeding them into feed-forward layers which is
    the same as one branch of our late fusion model": all granularities share W1, W2, W3, each has its own
    layer average, and the mean of eq. 2 runs over the units of the whole sequence.
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
        """Make the one branch.

        Raises:
            HeadError: granularities of different dims, which cannot stand in one sequence.
        """
        super().__init__()
        dims = {name: dim for name, (_, dim) in shapes.items()}
        if len(set(dims.values())) > 1:
            given = ", ".join(f"{name} {dim}" for name, dim in dims.items())
            raise HeadError(f"concatenation needs units of one dim, got {given}: use late fusion, or encoders of one width")
        self.averages = nn.ModuleDict(
            {name: LayerAverage(layers=layers, dim=dim, softmax=softmax) for name, (layers, dim) in shapes.items()}
        )
        self.shared = LinearBranch(
            dim=next(iter(dims.values())), hidden=hidden, classes=classes, dropout=dropout, generator=generator
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
        branches = [head.shared for head in heads if isinstance(head, Concatenation)]
        # The mean over the sequence is the mean of each granularity's mean, weighted by its number of units.
        total = torch.stack([each.lengths for each in units.values()]).sum(0)
        parts = []
        for name, each in units.items():
            hidden = hidden_units(branches, [head.average(name) for head in heads], each, generators)
            share = each.lengths.to(hidden) / total.to(hidden)
            parts.append(packed_mean(hidden, each.lengths) * share[:, None])
        return branch_logits(branches, torch.stack(parts).sum(0), next(iter(units.values())).utterances)
