"""How large the features of an utterance will be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mer.extract.config import ExtractConfig
from mer.extract.encoders import Encoders
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.families.text_checkpoint import TextCheckpoint
from mer.extract.launch import STORAGE
from mer.extract.speech_encoder import pick_layers

# Units per second of English speech, for planning only (measured on IEMOCAP: docs/cache-format.md).
UNITS_PER_SECOND = {"P": 11.0, "S": 4.5, "W": 3.0, "T": 4.5}


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSize:
    """Bytes from seconds; holds no weights, so that no encoder stays in memory for it."""

    unit_bytes: Mapping[str, int]
    """Bytes of one unit of each granularity."""
    sample_rate: int
    """What the speech encoder takes, in Hz."""
    frame_count: Callable[[int], int]
    """Frames of an utterance, from its samples."""

    def __call__(self, seconds: float) -> int:
        """Expected bytes of an utterance: exact for frames, typical for the rest."""
        frames = self.frame_count(int(seconds * self.sample_rate))
        units = {name: frames if name == "F" else max(1.0, seconds * UNITS_PER_SECOND[name]) for name in self.unit_bytes}
        return int(sum(units[name] * size for name, size in self.unit_bytes.items()))


def feature_size(config: ExtractConfig, encoders: Encoders) -> FeatureSize:
    """The sizes that these encoders make.

    Args:
        config: what is extracted.
        encoders: those that the granularities need.
    """
    speech, text = encoders.speech, encoders.text
    return feature_size_of(config, None if speech is None else speech.checkpoint, None if text is None else text.checkpoint)


def feature_size_of(config: ExtractConfig, speech: SpeechCheckpoint | None, text: TextCheckpoint | None) -> FeatureSize:
    """The same from checkpoints, whose weights are not looked at.

    Raises:
        ExtractError: a layer that an encoder does not have.
    """
    found = {}
    for granularity in config.granularities:
        encoder = text if granularity == "T" else speech
        assert encoder is not None
        layers = pick_layers(config.layers, encoder)
        found[granularity] = len(layers) * encoder.dim * STORAGE[config.storage].itemsize
    return FeatureSize(
        unit_bytes=found,
        sample_rate=speech.sample_rate if speech else 0,
        frame_count=speech.frame_count if speech else int,
    )
