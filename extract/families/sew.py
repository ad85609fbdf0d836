"""SEW: wav2vec 2.0's front-end, and a transformer on averages of two of its frames each."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from mer.extract.families.wav2vec2 import Wav2Vec2
from mer.extract.hidden_states import LayerTap


class SEW(Wav2Vec2):
    """A checkpoint of SEW. Its frames are those of the transformer, 40 ms apart.

    What it makes frames of 20 ms from again, for speech recognition on top, is a layer of other frames and left out.
    """

    leak = (
        "of an odd number of frames the last is left out alone, and averaged with padding in a batch; use an encoder that does "
        "not squeeze its frames"
    )

    def __init__(self, name: str, revision: str | None, config: Any) -> None:
        super().__init__(name, revision, config)
        self.frame_length += (config.squeeze_factor - 1) * self.frame_stride
        self.frame_stride *= config.squeeze_factor

    @property
    def closing_norm(self) -> bool:
        """There is none."""
        return False

    def tap(self, model: nn.Module, layers: Sequence[int]) -> LayerTap:
        """The transformer's layers, the last of which is layer N."""
        blocks = list(model.get_submodule("encoder.layers").children())
        return LayerTap(blocks[-1], blocks, layers, self.layer_count, self.title)
