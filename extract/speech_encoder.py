"""A frozen wav2vec 2.0 family encoder: padded batches of waveforms in, exact hidden states out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.extract.config import ExtractError
from mer.extract.exact_padding import ExactPadding
from mer.extract.pretrained import load_frozen, resolve_device
from mer.extract.speech_checkpoint import SpeechCheckpoint


class SpeechEncoder(SpeechCheckpoint):
    """All hidden states of a frozen speech encoder, each utterance as if it were alone.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit of a hub id.
        layers: Hidden states to return, 0 = input of the first layer; None = 1..N.
        dtype: Precision of the forward pass.
        device: `cpu`, `cuda`, ...

    Raises:
        EncoderError: no such encoder, not of the wav2vec 2.0 family, weights or preprocessor config missing.
        ExtractError: a layer that the encoder does not have.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        layers: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        super().__init__(name, revision)
        model = load_frozen(name, revision, "--speech-model", self.config)
        self.layers = pick_layers(layers, self.config.num_hidden_layers, "--speech-model", name)
        self.identity: dict[str, Any] = self.describe(model) | {"layers": list(self.layers)}
        _bake_weight_norm(model)
        self.device = resolve_device(device)
        self.dtype = dtype
        self.model = model.to(self.device, dtype)
        self._padding = ExactPadding(self.model)

    @torch.inference_mode()
    def __call__(self, waves: Sequence[NDArray[np.float32]]) -> list[Float[Tensor, "frames layers dim"]]:
        """Hidden states of prepared waveforms, one tensor per utterance, on the encoder's device.

        Args:
            waves: 1-D float32 at `sample_rate`, already through `prepare`, at least `frame_length` samples each.

        Raises:
            ValueError: a waveform that is too short (inside a padded batch it would silently see everything).
        """
        samples = [len(wave) for wave in waves]
        if min(samples) < self.frame_length:
            raise ValueError(f"a waveform has {min(samples)} samples; one frame needs {self.frame_length}")
        if len(waves) > 1 and not self.batches:
            return [self([wave])[0] for wave in waves]
        frames = [self.frame_count(count) for count in samples]
        hidden = self._forward(waves, samples, frames)
        return [torch.stack([hidden[layer][row, :count] for layer in self.layers], dim=1) for row, count in enumerate(frames)]

    def _forward(self, waves: Sequence[NDArray[np.float32]], samples: list[int], frames: list[int]) -> tuple[Tensor, ...]:
        """`transformers`' hidden states, each (batch, frames, dim)."""
        if len(waves) == 1:
            inputs = torch.from_numpy(waves[0])[None].to(self.device, self.dtype)
            hidden: tuple[Tensor, ...] = self.model(inputs, output_hidden_states=True).hidden_states
            return hidden
        inputs = torch.zeros(len(waves), max(samples))
        for row, wave in enumerate(waves):
            inputs[row, : len(wave)] = torch.from_numpy(wave)
        output = self._padding.run(inputs.to(self.device, self.dtype), samples, frames, output_hidden_states=True)
        hidden = output.hidden_states
        return hidden


def pick_layers(wanted: Sequence[int] | None, count: int, option: str, name: str) -> tuple[int, ...]:
    """The hidden states to keep: all transformer layers by default.

    Raises:
        ExtractError: for a layer beyond the encoder's last.
    """
    if wanted is None:
        return tuple(range(1, count + 1))
    if max(wanted) > count:
        raise ExtractError(f"--layers asks for layer {max(wanted)}, but {option} {name} has layers 1-{count}")
    return tuple(wanted)


def _bake_weight_norm(model: nn.Module) -> None:
    """Replace the positional convolution's weight norm by the weight it gives: same bits, 3 to 5 % less time."""
    for module in model.get_submodule("encoder.pos_conv_embed").modules():
        if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
