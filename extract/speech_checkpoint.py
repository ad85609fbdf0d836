"""What a speech checkpoint says of itself without its weights: kind, preprocessing, and where its frames lie."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from transformers import AutoFeatureExtractor

from mer.extract.pretrained import EncoderError, load_config, model_label, weights_fingerprint

FAMILY = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")

SAMPLE_RATE = 16_000
"""Hz, where a preprocessor config states no rate."""
NORMALIZE = True
"""Whether audio is normalised, where a preprocessor config does not say."""


class SpeechCheckpoint:
    """A checkpoint of the wav2vec 2.0 family.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit of a hub id.

    Raises:
        EncoderError: no such encoder, not of the wav2vec 2.0 family, or no preprocessor config.
    """

    def __init__(self, name: str, revision: str | None) -> None:
        config = load_config(name, revision, "--speech-model")
        if config.model_type not in FAMILY:
            raise EncoderError(
                f"--speech-model {name}: a {config.model_type!r} model is no speech encoder that mer can read; expected "
                f"one of {', '.join(FAMILY)}"
            )
        self.name = name
        self.revision = revision
        self.config = config
        self.preprocessor = _load_preprocessor(name, revision)
        self.dim: int = config.hidden_size
        self.sample_rate: int = self.preprocessor.sampling_rate
        self.normalize: bool = self.preprocessor.do_normalize
        self.kernels: tuple[int, ...] = tuple(config.conv_kernel)
        self.strides: tuple[int, ...] = tuple(config.conv_stride)

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

    @property
    def batches(self) -> bool:
        """Whether an utterance comes out of a batch as if it were alone.

        HuBERT's optional BatchNorm before the positional convolution turns zero padding into something else.
        """
        return not getattr(self.config, "conv_pos_batch_norm", False)

    @property
    def closing_norm(self) -> bool:
        """Whether a norm follows the last transformer layer: in the shape of the large checkpoints (pre-norm layers).

        data2vec-audio knows the setting and has no such encoder.
        """
        return self.config.model_type != "data2vec-audio" and bool(getattr(self.config, "do_stable_layer_norm", False))

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

    def describe(self, model: nn.Module) -> dict[str, Any]:
        """What identifies the checkpoint with the weights that were loaded from it."""
        return {
            "model": model_label(self.name),
            "type": self.config.model_type,
            "revision": getattr(self.config, "_commit_hash", None),
            "weights_sha256": weights_fingerprint(model),
            "dim": self.dim,
            "sample_rate": self.sample_rate,
            "normalize": self.normalize,
            "frame_stride": self.frame_stride,
            "frame_length": self.frame_length,
        }


def without_adapter(model: Any) -> Any:
    """The model without the convolutions that `add_adapter` puts behind its encoder; changed in place.

    They make fewer frames of another width, for speech recognition on top; none of them is a layer of the encoder.
    """
    if isinstance(getattr(model, "adapter", None), nn.Module):
        model.adapter = None
    return model


def trial_waves(checkpoint: SpeechCheckpoint) -> list[NDArray[np.float32]]:
    """Two prepared waveforms of noise, 10 and 40 frame lengths long, the same ones each time."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=(2, 40 * checkpoint.frame_length)).astype(np.float32)
    return [checkpoint.prepare(noise[0, : 10 * checkpoint.frame_length]), checkpoint.prepare(noise[1])]


def _load_preprocessor(name: str, revision: str | None) -> Any:
    """The feature extractor; what its file leaves open is stated here, not by the installed transformers."""
    try:
        found = AutoFeatureExtractor.from_pretrained(name, revision=revision, trust_remote_code=False)
        stated, _ = type(found).get_feature_extractor_dict(name, revision=revision)
    except (OSError, ValueError, KeyError) as problem:
        raise EncoderError(
            f"--speech-model {name}: no readable preprocessor_config.json (it says at which rate and with which "
            f"normalisation the encoder was trained); copy it from where the checkpoint comes from"
        ) from problem
    if getattr(found, "feature_size", 1) != 1 or not hasattr(found, "do_normalize"):
        raise EncoderError(f"--speech-model {name}: its preprocessor {type(found).__name__} does not take raw waveforms")
    found.sampling_rate = stated.get("sampling_rate", SAMPLE_RATE)
    found.do_normalize = stated.get("do_normalize", NORMALIZE)
    return found
