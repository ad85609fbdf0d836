"""A frozen wav2vec 2.0 family encoder: padded batches of waveforms in, exact hidden states out."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoFeatureExtractor

from mer.extract.config import ExtractError
from mer.extract.exact_padding import ExactPadding
from mer.extract.pretrained import (
    EncoderError,
    load_config,
    load_frozen,
    model_label,
    resolve_device,
    weights_fingerprint,
)

FAMILY = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")


class SpeechEncoder:
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
        config = load_config(name, revision, "--speech-model")
        if config.model_type not in FAMILY:
            raise EncoderError(
                f"--speech-model {name}: a {config.model_type!r} model is no speech encoder that mer can read; expected "
                f"one of {', '.join(FAMILY)}"
            )
        preprocessor = _load_preprocessor(name, revision)
        model = load_frozen(name, revision, "--speech-model", config)
        self.layers = pick_layers(layers, config.num_hidden_layers, "--speech-model", name)
        self.dim: int = config.hidden_size
        self.sample_rate: int = preprocessor.sampling_rate
        self.normalize: bool = preprocessor.do_normalize
        self.kernels: tuple[int, ...] = tuple(config.conv_kernel)
        self.strides: tuple[int, ...] = tuple(config.conv_stride)
        self.identity: dict[str, Any] = {
            "model": model_label(name),
            "type": config.model_type,
            "revision": getattr(config, "_commit_hash", None),
            "weights_sha256": weights_fingerprint(model),
            "layers": list(self.layers),
            "dim": self.dim,
            "sample_rate": self.sample_rate,
            "normalize": self.normalize,
            "frame_stride": self.frame_stride,
            "frame_length": self.frame_length,
        }
        _bake_weight_norm(model)
        self.device = resolve_device(device)
        self.dtype = dtype
        self.model = model.to(self.device, dtype)
        self._padding = ExactPadding(self.model)
        # HuBERT's optional BatchNorm before the positional convolution turns zero padding into something else.
        self.batches = not getattr(config, "conv_pos_batch_norm", False)

    @property
    def frame_stride(self) -> int:
        """Samples between the starts of two frames: 320 for wav2vec 2.0 (20 ms)."""
        return int(np.prod(self.strides))

    @property
    def frame_length(self) -> int:
        """Samples that one frame sees, and the shortest audio there can be: 400 for wav2vec 2.0 (25 ms)."""
        length, step = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            length += (kernel - 1) * step
            step *= stride
        return length

    def frame_count(self, samples: int) -> int:
        """Frames of an utterance; 0 if it is shorter than one frame. (n - 400) // 320 + 1 for wav2vec 2.0."""
        return max(0, (samples - self.frame_length) // self.frame_stride + 1)

    def prepare(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Zero mean and unit variance over this utterance alone, where the checkpoint asks for it.

        One utterance at a time: `transformers`' own batch call normalises over the padding when the checkpoint says
        `return_attention_mask: false`, as wav2vec2-base does.
        """
        if not self.normalize:
            return wave
        normal: NDArray[np.float32] = ((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)).astype(np.float32)
        return normal

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
        hidden = self._forward(waves, samples, torch.tensor(frames, device=self.device))
        return [torch.stack([hidden[layer][row, :count] for layer in self.layers], dim=1) for row, count in enumerate(frames)]

    def _forward(self, waves: Sequence[NDArray[np.float32]], samples: list[int], frames: Tensor) -> tuple[Tensor, ...]:
        """`transformers`' hidden states, each (batch, frames, dim)."""
        if len(waves) == 1:
            inputs = torch.from_numpy(waves[0])[None].to(self.device, self.dtype)
            hidden: tuple[Tensor, ...] = self.model(inputs, output_hidden_states=True).hidden_states
            return hidden
        inputs = torch.zeros(len(waves), max(samples))
        for row, wave in enumerate(waves):
            inputs[row, : len(wave)] = torch.from_numpy(wave)
        mask = (torch.arange(max(samples)) < torch.tensor(samples)[:, None]).long()
        with self._padding.sample_counts(samples, frames), warnings.catch_warnings():
            # WavLM hands PyTorch a boolean padding mask beside its float position bias, which PyTorch deprecates.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            hidden = self.model(
                inputs.to(self.device, self.dtype),
                attention_mask=mask.to(self.device),
                output_hidden_states=True,
            ).hidden_states
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


def _load_preprocessor(name: str, revision: str | None) -> Any:
    try:
        found = AutoFeatureExtractor.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as problem:
        raise EncoderError(
            f"--speech-model {name}: no readable preprocessor_config.json (it says at which rate and with which "
            f"normalisation the encoder was trained); copy it from where the checkpoint comes from"
        ) from problem
    if getattr(found, "feature_size", 1) != 1 or not hasattr(found, "do_normalize"):
        raise EncoderError(f"--speech-model {name}: its preprocessor {type(found).__name__} does not take raw waveforms")
    return found


def _bake_weight_norm(model: nn.Module) -> None:
    """Replace the positional convolution's weight norm by the weight it gives: same bits, 3 to 5 % less time."""
    for module in model.get_submodule("encoder.pos_conv_embed").modules():
        if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
