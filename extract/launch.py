"""The second stage of an extraction: a batch is given to the device, which encodes, averages and rounds; units come back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mer.cache import Units
from mer.corpus import Segment
from mer.extract.config import ExtractConfig
from mer.extract.device_path import Arrival, DevicePath
from mer.extract.inputs import Prepared
from mer.extract.segments import frame_ranges, joined_ranges, segment_means
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.text_encoder import TextEncoder

STORAGE = {"float16": torch.float16, "float32": torch.float32}
Stored = list[NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Launched:
    """A batch that the device has been given."""

    arrival: Arrival
    """Its activations in the stored type."""
    units: Callable[[Stored], list[dict[str, Units]]]
    """What they are, for each utterance of the batch by granularity."""


def launch_speech(
    prepared: Sequence[Prepared], speech: SpeechEncoder | None, config: ExtractConfig, path: DevicePath
) -> Launched:
    """F, P, S and W of a batch: one forward pass, one averaging call over all segments of all utterances.

    Everything is rounded once, on the device, so that half the bytes cross the bus.
    """
    if speech is None or not prepared:
        return Launched(arrival=path.back(list), units=lambda stored: [{} for _ in prepared])
    tiers = [(row, tier, segments) for row, item in enumerate(prepared) for tier, segments in item.segments.tiers.items()]
    storage, with_frames = STORAGE[config.storage], "F" in config.granularities

    def compute() -> list[Tensor]:
        states = speech([item.wave for item in prepared if item.wave is not None])
        found = [frames.to(storage) for frames in states] if with_frames else []
        return [*found, _means(states, tiers, speech).to(storage)] if tiers else found

    def units(stored: Stored) -> list[dict[str, Units]]:
        features: list[dict[str, Units]] = [{} for _ in prepared]
        if with_frames:
            for of_one, frames in zip(features, stored, strict=False):
                of_one["F"] = Units(data=frames, span=None, labels=None)
        end = 0
        for row, tier, segments in tiers:
            start, end = end, end + len(segments)
            features[row][tier] = Units(
                data=stored[-1][start:end],
                span=_spans(segments) / 1000.0,
                labels=tuple(segment.label for segment in segments),
            )
        return features

    return Launched(arrival=path.back(compute), units=units)


def launch_texts(tokens: Sequence[Sequence[int]], text: TextEncoder, config: ExtractConfig, path: DevicePath) -> Launched:
    """T of a batch."""
    storage = STORAGE[config.storage]
    return Launched(
        arrival=path.back(lambda: [wordpieces.to(storage) for wordpieces in text(tokens)]),
        units=lambda stored: [{"T": Units(data=data, span=None, labels=None)} for data in stored],
    )


def _means(
    states: Sequence[Float[Tensor, "_ layers dim"]], tiers: Sequence[tuple[int, str, Sequence[Segment]]], speech: SpeechEncoder
) -> Float[Tensor, "segments layers dim"]:
    """Averages of all segments of a batch, tier after tier."""
    starts = np.cumsum([0, *(len(frames) for frames in states)]).tolist()
    ranges = [
        frame_ranges(
            _spans(segments),
            len(states[row]),
            sample_rate=speech.sample_rate,
            stride=speech.frame_stride,
            length=speech.frame_length,
            offset=speech.checkpoint.frame_offset,
        )
        for row, _, segments in tiers
    ]
    joined = joined_ranges(ranges, [starts[row] for row, _, _ in tiers])
    return segment_means(states[0] if len(states) == 1 else torch.cat(list(states)), joined)


def _spans(segments: Sequence[Segment]) -> NDArray[np.int64]:
    return np.array([(segment.start_ms, segment.end_ms) for segment in segments], dtype=np.int64)
