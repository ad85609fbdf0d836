"""wav2vec 2.0 with Conformer layers: a depthwise convolution over time in each of them."""

from typing import Any

from mer.extract.exact_padding import ExactPadding
from mer.extract.families.wav2vec2 import Wav2Vec2


class Wav2Vec2Conformer(Wav2Vec2):
    """A checkpoint of wav2vec2-conformer."""

    untrainable = "the batch norms of its convolutions would mix the utterances of a batch; use an encoder without them"

    @property
    def closing_norm(self) -> bool:
        """Always, after the norm that each layer ends in."""
        return True

    def padding(self, model: Any) -> ExactPadding:
        """As of wav2vec 2.0, and zeros before each layer's convolution: `transformers` leaves what attention wrote there."""
        padding = ExactPadding(model)
        for name, module in model.named_modules():
            if name.endswith("conv_module.depthwise_conv"):
                module.register_forward_pre_hook(lambda module, inputs: (padding.zeroed(inputs[0]),))
        return padding
