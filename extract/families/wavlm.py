"""WavLM: wav2vec 2.0's encoder with gated relative positions."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mer.extract.exact_padding import ExactPadding
from mer.extract.families.wav2vec2 import Wav2Vec2


class WavLM(Wav2Vec2):
    """A checkpoint of WavLM."""

    def padding(self, model: Any) -> ExactPadding:
        """As of wav2vec 2.0, without a warning at each batch."""
        return _QuietPadding(model)


class _QuietPadding(ExactPadding):
    @contextmanager
    def counts(self, samples: Sequence[int] | None, frames: Tensor | None) -> Iterator[None]:
        with warnings.catch_warnings(), super().counts(samples, frames):
            # WavLM hands PyTorch a boolean padding mask beside its float position bias, which PyTorch deprecates.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            yield
