"""data2vec-audio: wav2vec 2.0's encoder with several positional convolutions, one on top of the other."""

from typing import Any

import torch
from torch import Tensor, nn

from mer.extract.exact_padding import ExactPadding
from mer.extract.families.wav2vec2 import Wav2Vec2


class Data2VecAudio(Wav2Vec2):
    """A checkpoint of data2vec-audio."""

    @property
    def closing_norm(self) -> bool:
        """Its config knows the setting, and there is no such encoder."""
        return False

    def padding(self, model: Any) -> ExactPadding:
        """As of wav2vec 2.0, and zeros after each convolution: it writes into the padding that the next one reads."""
        return _StackedPadding(model)


class _StackedPadding(ExactPadding):
    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        for block in model.get_submodule("encoder.pos_conv_embed.layers").children():
            block.register_forward_hook(self._zero_padding)

    def _zero_padding(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        """Zero what a convolution wrote beyond each row's frames. `output`: (batch, channels, frames)."""
        if self.frames is None:
            return output
        real = torch.arange(output.shape[2], device=output.device) < self.frames[:, None]
        return output * real[:, None, :]
