"""data2vec-audio: wav2vec 2.0's encoder with several positional convolutions, one on top of the other."""

from typing import Any

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
        padding = ExactPadding(model)
        for block in model.get_submodule("encoder.pos_conv_embed.layers").children():
            block.register_forward_hook(lambda module, inputs, output: padding.zeroed(output))
        return padding
