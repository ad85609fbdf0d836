"""What training on ratings lowers: 1 - CCC, or the mean squared error, of ratings that the training part has scaled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from mer.heads.errors import HeadError


def concordances(outputs: Float[Tensor, "utterances dimensions"], truth: Float[Tensor, "utterances dimensions"]) -> Tensor:
    """CCC of each dimension with population moments, see `mer.protocol.concordance`; 0 where nothing varies together."""
    one, two = outputs - outputs.mean(0), truth - truth.mean(0)
    apart = one.square().mean(0) + two.square().mean(0) + (outputs.mean(0) - truth.mean(0)).square()
    return 2 * (one * two).mean(0) / apart.clamp_min(torch.finfo(apart.dtype).tiny)


@dataclass(frozen=True, kw_only=True, eq=False)
class RatingLoss:
    """The loss of one run. A head's outputs are ratings less `mean`, divided by `std`, so that no scale is to be learned."""

    truth: Float[Tensor, "rows dimensions"]
    """Ratings of every row, scaled; what the loss compares outputs with."""
    mean: Float64[np.ndarray, " dimensions"]
    """Mean of the training ratings, in the corpus' unit."""
    std: Float64[np.ndarray, " dimensions"]
    """Their population deviation."""
    kind: str
    """`ccc` or `mse`."""

    def each(self, rows: Int64[np.ndarray, " _"], outputs: Float[Tensor, "_ dimensions"]) -> Float[Tensor, " _"]:
        """The loss of one step, 1 - mean CCC or the mean of the squared errors, for each of its utterances.

        A step of one utterance has no CCC, and a loss of 1 without a slope.
        """
        truth = self.truth[torch.as_tensor(rows)].to(outputs.device, outputs.dtype)
        mean = (outputs - truth).square().mean() if self.kind == "mse" else 1 - concordances(outputs, truth).mean()
        return mean.expand(len(rows))

    def ratings(self, outputs: Float[Tensor, "_ dimensions"]) -> Float64[np.ndarray, "_ dimensions"]:
        """Outputs in the corpus' unit."""
        found: Float64[np.ndarray, "_ dimensions"] = outputs.double().cpu().numpy() * self.std + self.mean
        return found


def rating_loss(
    kind: str,
    ratings: Float64[np.ndarray, "rows dimensions"],
    train: Int64[np.ndarray, " train"],
    dimensions: Sequence[str],
    device: torch.device,
) -> RatingLoss:
    """The loss of a run.

    Args:
        kind: `ccc` or `mse`.
        ratings: of every row, in the corpus' unit.
        train: rows that the run is trained on; they alone decide the scale.
        dimensions: names of the columns.
        device: where it is computed.

    Raises:
        HeadError: a dimension whose training ratings are all the same.
    """
    mean, std = ratings[train].mean(0), ratings[train].std(0)
    if constant := [name for name, each in zip(dimensions, std.tolist(), strict=True) if each == 0]:
        raise HeadError(
            f"all {len(train)} training utterances have the same {' and '.join(constant)}: nothing can be learned of it"
        )
    scaled = torch.from_numpy(((ratings - mean) / std).astype(np.float32)).to(device)
    return RatingLoss(truth=scaled, mean=mean, std=std, kind=kind)
