"""What a padded batch needs so that each utterance comes out as if it were alone.

Three things leak padding into real frames of a wav2vec 2.0 family encoder: the GroupNorm over time after the
first convolution, the positional convolution, and attention. transformers masks the last two when it is given
an attention mask; the first it does not, and its advice for such checkpoints is to pad with zeros and no mask, or
to use batches of one (https://github.com/huggingface/transformers/issues/21534).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn


class PerUtteranceGroupNorm(nn.Module):
    """GroupNorm over time whose statistics come from each utterance's own samples only.

    Takes the place of the norm after a valid (unpadded) convolution. Without `samples` it is the stock norm.
    """

    def __init__(self, norm: nn.GroupNorm, kernel: int, stride: int) -> None:
        super().__init__()
        self.norm = norm
        self.kernel = kernel
        self.stride = stride
        self.samples: Sequence[int] | None = None

    def forward(self, states: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        """Normalise each row over the positions that its own samples reach; padding becomes 0."""
        if self.samples is None:
            unbatched: Tensor = self.norm(states)
            return unbatched
        # A loop over the stock kernel: a vectorised masked mean and variance costs 15 % of the whole encoder.
        lengths = [(samples - self.kernel) // self.stride + 1 for samples in self.samples]
        if torch.is_grad_enabled() and (states.requires_grad or self.norm.weight.requires_grad):
            # Writing rows into one tensor would copy the whole batch's gradient once per row.
            rows = [self.norm(states[row : row + 1, :, :real]) for row, real in enumerate(lengths)]
            return torch.cat([F.pad(row, (0, states.shape[2] - row.shape[2])) for row in rows])
        normal = torch.zeros_like(states)
        for row, real in enumerate(lengths):
            normal[row, :, :real] = self.norm(states[row : row + 1, :, :real])[0]
        return normal


class ExactPadding:
    """Patches one encoder in place and runs it on batches whose rows have samples of their own.

    Args:
        model: a `transformers` speech encoder with `feature_extractor` and an attention mask.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._group_norms: list[PerUtteranceGroupNorm] = []
        self._samples: Sequence[int] | None = None
        self.frames: Tensor | None = None
        """Own frames of each row of the batch that runs; None where there is no padding."""
        for layer in model.get_submodule("feature_extractor.conv_layers").children():
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                conv = layer.get_submodule("conv")
                assert isinstance(conv, nn.Conv1d)
                layer.layer_norm = PerUtteranceGroupNorm(norm, conv.kernel_size[0], conv.stride[0])
                self._group_norms.append(layer.layer_norm)

    def run(
        self, waves: Float[Tensor, "batch samples"], samples: Sequence[int], frames: Sequence[int]
    ) -> Float[Tensor, "batch frames dim"]:
        """The last hidden states of a batch; see `Padding`."""
        waves = waves.to(next(self._model.parameters()).dtype)
        if min(samples) == waves.shape[1]:
            output = self._model(waves)
        else:
            # Small copies that nobody waits for: a GPU may still be at the batch before.
            own = torch.tensor(samples).to(waves.device, non_blocking=True)
            mask = (torch.arange(waves.shape[1], device=waves.device) < own[:, None]).long()
            with self.counts(samples, torch.tensor(frames).to(waves.device, non_blocking=True)):
                output = self._model(waves, attention_mask=mask)
        states: Tensor = output.last_hidden_state
        return states

    def zeroed(self, states: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch channels frames"]:
        """Zeros beyond each row's frames, as a convolution with zero padding sees them that has the row alone."""
        if self.frames is None:
            return states
        real = torch.arange(states.shape[2], device=states.device) < self.frames[:, None]
        return states * real[:, None, :]

    def recomputation(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For `context_fn` of `torch.utils.checkpoint`: a layer that is recomputed sees the counts that it saw before."""
        return nullcontext(), self.counts(self._samples, self.frames)

    @contextmanager
    def counts(self, samples: Sequence[int] | None, frames: Tensor | None) -> Iterator[None]:
        """Say how many samples (before the first convolution) and frames each row of the next batch holds."""
        before = self._samples, self.frames
        self._tell(samples, frames)
        try:
            yield
        finally:
            self._tell(*before)

    def _tell(self, samples: Sequence[int] | None, frames: Tensor | None) -> None:
        self._samples, self.frames = samples, frames
        for norm in self._group_norms:
            norm.samples = samples
