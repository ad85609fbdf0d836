"""HuBERT: wav2vec 2.0's encoder, trained otherwise."""

from typing import Any

from mer.extract.families.wav2vec2 import Wav2Vec2


class Hubert(Wav2Vec2):
    """A checkpoint of HuBERT."""

    def __init__(self, name: str, revision: str | None, config: Any) -> None:
        super().__init__(name, revision, config)
        if getattr(config, "conv_pos_batch_norm", False):
            # It turns zero padding into something else.
            self.leak = (
                "its batch norm before the positional convolution mixes the utterances of a batch and their padding; use an "
                "encoder without conv_pos_batch_norm"
            )
