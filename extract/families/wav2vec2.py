"""wav2vec 2.0, and what its kin have in common: a convolutional front-end on the waveform, then a transformer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mer.extract.checkpoint_files import COPY_AGAIN
from mer.extract.exact_padding import ExactPadding
from mer.extract.families.preprocessor import load_preprocessor
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.hidden_states import LayerTap
from mer.extract.pretrained import EncoderError

NORMALIZE = True
"""Whether audio is normalised, where a preprocessor config does not say."""


class Wav2Vec2(SpeechCheckpoint):
    """A checkpoint of wav2vec 2.0.

    Raises:
        EncoderError: no preprocessor config, or one that takes no waveforms.
    """

    def __init__(self, name: str, revision: str | None, config: Any) -> None:
        super().__init__(name, revision, config)
        self.preprocessor = _load_preprocessor(self.title, name, revision)
        self.sample_rate = self.preprocessor.sampling_rate
        self.normalize = self.preprocessor.do_normalize
        self.frame_stride = int(np.prod(config.conv_stride))
        length, step = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            length += (kernel - 1) * step
            step *= stride
        self.frame_length = length
        self.mask_shares = (getattr(config, "mask_time_prob", 0.0), getattr(config, "mask_feature_prob", 0.0))

    @property
    def closing_norm(self) -> bool:
        """In the shape of the large checkpoints (pre-norm layers)."""
        return bool(getattr(self.config, "do_stable_layer_norm", False))

    def bare(self, model: Any) -> Any:
        """The model without the convolutions that `add_adapter` puts behind its encoder.

        They make fewer frames of another width, for speech recognition on top; none of them is a layer of the encoder.
        """
        if isinstance(getattr(model, "adapter", None), nn.Module):
            model.adapter = None
        return model

    def freeze(self, model: nn.Module) -> None:
        """Replace the positional convolution's weight norm by the weight it gives: same bits, 3 to 5 % less time."""
        super().freeze(model)
        for module in model.get_submodule("encoder.pos_conv_embed").modules():
            if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
                torch.nn.utils.parametrize.remove_parametrizations(module, "weight")

    def padding(self, model: Any) -> ExactPadding:
        """Statistics over each utterance's own samples, and masks."""
        return ExactPadding(model)

    def tap(self, model: nn.Module, layers: Sequence[int]) -> LayerTap:
        """The encoder's layers, and the encoder as the last one."""
        encoder = model.get_submodule("encoder")
        return LayerTap(encoder, list(encoder.get_submodule("layers").children()), layers, self.layer_count, self.title)

    def train(self, model: Any, *, front_end: bool) -> None:
        """No layer drop: a dropped layer has no gradient, and several processes would wait for it for ever."""
        model.config.layerdrop = 0.0
        model.config.apply_spec_augment = False
        if not front_end:
            model.feature_extractor._freeze_parameters()

    def mask_vector(self, model: Any) -> nn.Parameter | None:
        """There where the config masks frames."""
        found: nn.Parameter = model.masked_spec_embed
        return found

    def save_inputs(self, folder: Path) -> None:
        """The preprocessor's config."""
        self.preprocessor.save_pretrained(folder)


def _load_preprocessor(title: str, name: str, revision: str | None) -> Any:
    """The feature extractor; what its file leaves open is stated here, not by the installed transformers."""
    found, stated = load_preprocessor(title, name, revision)
    if getattr(found, "feature_size", 1) != 1 or not hasattr(found, "do_normalize"):
        raise EncoderError(f"{title}: its preprocessor {type(found).__name__} does not take raw waveforms")
    found.do_normalize = stated.get("do_normalize", NORMALIZE)
    if type(found.do_normalize) is not bool:
        raise EncoderError(
            f"{title}: preprocessor_config.json has do_normalize = {found.do_normalize!r}; expected true or false. "
            f"{COPY_AGAIN.capitalize()}"
        )
    return found
