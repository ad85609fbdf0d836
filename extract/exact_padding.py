"""What a padded batch needs so that each utterance comes out as if it were alone.

Three things leak padding into real frames of a wav2vec 2.0 family encoder: the GroupNorm over time after the
first convolution, the positional convolution, and attention. transformers masks the last two when it is given
an attention mask (data2vec's stacked positional convolutions only before the first of them); the first it does not,
and its advice for such checkpoints is to pad with zeros and no mask, or to use batches of one
(https://github.com/huggingface/transformers/issues/21534).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PerUtteranceGroupNorm(nn.Module):
    """GroupNorm over time whose statistics come from each utterance's own samples only.

    Takes the place of the norm after a valid (unpadded) convolution. Outside `sample_counts(...)` it is the stock norm.
    """

    def __init__(self, norm: nn.GroupNorm, kernel: int, stride: int) -> None:
        super().__init__()
        self.norm = norm
        self.kernel = kernel
        self.stride = stride
        self.samples: list[int] | None = None

    def forward(self, states: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        """Normalise each row over the positions that its own samples reach; padding becomes 0."""
        if self.samples is None:
            unbatched: Tensor = self.norm(states)
            return unbatched
        # A loop over the stock kernel: a vectorised masked mean and variance costs 15 % of the whole encoder.
        normal = torch.zeros_like(states)
        for row, samples in enumerate(self.samples):
            real = (samples - self.kernel) // self.stride + 1
            normal[row, :, :real] = self.norm(states[row : row + 1, :, :real])[0]
        return normal


class ExactPadding:
    """Patches one encoder in place and tells its norms how many samples each row of a batch has.

    Args:
        model: A `transformers` speech encoder with `feature_extractor` and `encoder.pos_conv_embed`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._group_norms: list[PerUtteranceGroupNorm] = []
        self._frames: Tensor | None = None
        for layer in model.get_submodule("feature_extractor.conv_layers").children():
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                conv = layer.get_submodule("conv")
                assert isinstance(conv, nn.Conv1d)
                layer.layer_norm = PerUtteranceGroupNorm(norm, conv.kernel_size[0], conv.stride[0])
                self._group_norms.append(layer.layer_norm)
        positional = model.get_submodule("encoder.pos_conv_embed")
        # data2vec-audio stacks positional convolutions: each writes into the padding that the next one reads.
        stacked = getattr(positional, "layers", None)
        if isinstance(stacked, nn.ModuleList):
            for block in stacked:
                block.register_forward_hook(self._zero_padding)

    @contextmanager
    def sample_counts(self, samples: list[int], frames: Tensor) -> Iterator[None]:
        """Say how many samples (before the first convolution) and frames each row of the next batch holds."""
        for norm in self._group_norms:
            norm.samples = samples
        self._frames = frames
        try:
            yield
        finally:
            for norm in self._group_norms:
                norm.samples = None
            self._frames = None

    def _zero_padding(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        """Zero what a convolution wrote beyond each row's frames. `output`: (batch, channels, frames)."""
        if self._frames is None:
            return output
        real = torch.arange(output.shape[2], device=output.device) < self._frames[:, None]
        return output * real[:, None, :]
