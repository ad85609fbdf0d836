"""Late fusion: one linear branch per granularity, logits added."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.linear_branch import LinearBranch
from mer.heads.packed_batch import PackedBatch
from mer.heads.statistics import Statistics


class LateFusion(nn.Module):
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
    ) -> None:
        """Make one branch per granularity.

        Args:
            shapes: granularity to (layers, dim), in the order in which the weights are drawn.
            hidden: width of each branch.
            classes: number of logits.
            dropout: see `LinearBranch`.
            generator: draws the initial weights.
        """
        super().__init__()
        self.branches = nn.ModuleDict(
            {
                name: LinearBranch(
                    layers=layers,
                    dim=dim,
                    hidden=hidden,
                    classes=classes,
                    dropout=dropout,
                    generator=generator,
                )
                for name, (layers, dim) in shapes.items()
            }
        )

    def forward(
        self,
        batches: Mapping[str, PackedBatch],
        statistics: Mapping[str, Statistics],
        generator: torch.Generator | None,
    ) -> Float[Tensor, "utterances classes"]:
        """Summed logits of the same utterances seen at every granularity.

        Args:
            batches: granularity to units; the utterances are the same, in the same order.
            statistics: granularity to normalisation; one that is missing is not normalised.
            generator: draws the dropout; None evaluates without.
        """
        logits = [branch(batches[name], statistics.get(name), generator) for name, branch in self.branches.items()]
        return torch.stack(logits).sum(0)

    def layer_shares(self) -> dict[str, list[float]]:
        """What each encoder layer contributes to each granularity's average: the learned w / sum(w)."""
        shares: dict[str, list[float]] = {}
        for name, branch in self.branches.items():
            if isinstance(branch, LinearBranch):
                shares[name] = branch.average.shares().tolist()
        return shares
