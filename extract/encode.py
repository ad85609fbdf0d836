"""One shard's utterances through the encoders: frames, segment averages and wordpieces, ready for the cache."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.cache import FailedUtterance, Units, UtteranceRecord
from mer.corpus import Segment, Utterance
from mer.corpus.audio import audio_seconds
from mer.extract.batching import batches_by_budget
from mer.extract.config import ExtractConfig, Resources
from mer.extract.inputs import Prepared, prepare
from mer.extract.own_units import add_whole
from mer.extract.segments import frame_ranges, joined_ranges, segment_means
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.text_encoder import TextEncoder

OUT_OF_RANGE = "are infinite or NaN"
"""In the reason of an utterance whose activations do not fit the type that they are stored in."""
STORAGE = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """The frozen models of one process."""

    speech: SpeechEncoder | None
    """None when only T is wanted."""
    text: TextEncoder | None
    """None when T is not wanted."""

    @property
    def notices(self) -> list[str]:
        """What a user should know of how they run."""
        found = [encoder.notice for encoder in (self.speech, self.text) if encoder is not None]
        return [notice for notice in found if notice is not None]

    def conversions(self, item: Prepared) -> tuple[str, ...]:
        """What they do to an utterance that is longer than they take at once, in words that can be counted."""
        spoken = self.speech.conversions(item.wave) if self.speech is not None else ()
        return spoken + (self.text.conversions(item.tokens) if self.text is not None else ())

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(encoder.device for encoder in (self.speech, self.text) if encoder is not None)


@dataclass(kw_only=True)
class EncodedShard:
    """What the encoders made of one shard's utterances, in the order they were asked for."""

    utterances: list[tuple[UtteranceRecord, dict[str, Units]]] = field(default_factory=list)
    """Records with their features."""
    failed: list[FailedUtterance] = field(default_factory=list)
    """Utterances that could not be extracted."""
    conversions: Counter[str] = field(default_factory=Counter)
    """How many files were resampled or downmixed."""
    odd_sounds: dict[str, list[str]] = field(default_factory=dict)
    """Ids of utterances whose recording is of a kind of `ODD_SOUNDS`, by kind."""
    alignments: Counter[str] = field(default_factory=Counter)
    """How many utterances took their segments from where; `none` = one segment over the whole utterance."""
    whole: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Ids of `utterances` of which a tier is one segment over the whole of them, by tier and reason."""


def encode_shard(
    utterances: Sequence[Utterance],
    encoders: Encoders,
    config: ExtractConfig,
    resources: Resources,
    report: Callable[[int, float], None] = lambda count, seconds: None,
) -> EncodedShard:
    """Extract every granularity of a shard's utterances; batches never reach beyond the shard.

    Args:
        utterances: The shard's utterances, in the order of its plan.
        encoders: Models on their device.
        config: What to extract.
        resources: Batch sizes.
        report: Called with utterances and seconds of audio after each batch.
    """
    found: dict[int, tuple[UtteranceRecord, dict[str, Units], list[int] | None]] = {}
    whole: dict[int, Mapping[str, str]] = {}
    shard = EncodedShard()
    failures: dict[int, FailedUtterance] = {}
    for positions, prepared in _prefetched(utterances, encoders, config, resources):
        ready = [(p, item) for p, item in zip(positions, prepared, strict=True) if isinstance(item, Prepared)]
        failures |= {p: i for p, i in zip(positions, prepared, strict=True) if isinstance(i, FailedUtterance)}
        features = _speech_features([item for _, item in ready], encoders.speech, config)
        for (position, item), units in zip(ready, features, strict=True):
            found[position] = (item.record, units, item.tokens)
            whole[position] = item.segments.whole
            shard.conversions.update((*item.conversions, *encoders.conversions(item)))
            for kind in item.odd:
                shard.odd_sounds.setdefault(kind, []).append(item.record.id)
            shard.alignments[item.record.alignment] += 1
        report(len(positions), sum(item.record.seconds for _, item in ready))
    if encoders.text is not None:
        _add_text(found, encoders.text, config, resources)
    for position in sorted(found):
        record, units, _ = found[position]
        reason = _out_of_range(units, config)
        if reason is None:
            shard.utterances.append((record, {g: units[g] for g in config.granularities}))
            add_whole(shard.whole, record.id, whole[position])
        else:
            failures[position] = FailedUtterance(id=record.id, reason=reason, fingerprint=record.fingerprint)
    shard.failed = [failures[position] for position in sorted(failures)]
    return shard


def _prefetched(
    utterances: Sequence[Utterance], encoders: Encoders, config: ExtractConfig, resources: Resources
) -> Iterator[tuple[list[int], list[Prepared | FailedUtterance]]]:
    """Batches of positions with their prepared inputs; the next batch is decoded while this one is encoded."""
    padded = encoders.speech.checkpoint.padded_seconds if encoders.speech is not None else float
    batches = batches_by_budget([padded(audio_seconds(u)) for u in utterances], speech_budget(encoders, resources))

    def load(positions: Iterable[int]) -> list[Prepared | FailedUtterance]:
        return [prepare(utterances[p], config, encoders.speech, encoders.text) for p in positions]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode") as decoder:
        following = decoder.submit(load, batches[0])
        for number, positions in enumerate(batches):
            prepared = following.result()
            if number + 1 < len(batches):
                following = decoder.submit(load, batches[number + 1])
            yield positions, prepared


def speech_budget(encoders: Encoders, resources: Resources) -> float | None:
    """Padded seconds in a batch: one utterance at a time on a CPU, where batches only lose cache locality."""
    if resources.batch_seconds is not None:
        return resources.batch_seconds
    on_gpu = encoders.speech is not None and encoders.speech.device.type == "cuda"
    return 300.0 if on_gpu else None


def scaled(resources: Resources, encoders: Encoders, share: float) -> Resources:
    """Batches of a share of their size; a CPU takes one utterance at a time unless told otherwise, and small texts.

    Args:
        resources: as asked for.
        encoders: that will run.
        share: of the usual size, 1 or less.
    """
    if share == 1:
        return resources
    budget = speech_budget(encoders, resources)
    # On a CPU the wordpieces of a batch are nothing beside a shard, and another batch would round otherwise.
    tokens = resources.batch_tokens if encoders.device.type == "cpu" else max(1, int(resources.batch_tokens * share))
    return replace(resources, batch_seconds=budget and budget * share, batch_tokens=tokens)


def _speech_features(prepared: Sequence[Prepared], speech: SpeechEncoder | None, config: ExtractConfig) -> list[dict[str, Units]]:
    """F, P, S and W of a batch: one forward pass, one averaging call over all segments of all utterances."""
    if speech is None or not prepared:
        return [{} for _ in prepared]
    states = speech([item.wave for item in prepared if item.wave is not None])
    storage = STORAGE[config.storage]
    features: list[dict[str, Units]] = [{} for _ in prepared]
    if "F" in config.granularities:
        for units, frames in zip(features, states, strict=True):
            units["F"] = Units(data=_to_disk(frames, storage), span=None, labels=None)
    tiers = [(row, tier, segments) for row, item in enumerate(prepared) for tier, segments in item.segments.tiers.items()]
    if not tiers:
        return features
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
    means = segment_means(states[0] if len(states) == 1 else torch.cat(states), joined)
    stored = _to_disk(means, storage)
    end = 0
    for row, tier, segments in tiers:
        start, end = end, end + len(segments)
        features[row][tier] = Units(
            data=stored[start:end],
            span=_spans(segments) / 1000.0,
            labels=tuple(segment.label for segment in segments),
        )
    return features


def _add_text(
    found: dict[int, tuple[UtteranceRecord, dict[str, Units], list[int] | None]],
    text: TextEncoder,
    config: ExtractConfig,
    resources: Resources,
) -> None:
    """T of every utterance, in length-sorted batches of about 1,024 wordpieces (3 times faster than one by one)."""
    entries = [(units, tokens) for _, units, tokens in found.values() if tokens is not None]
    for positions in batches_by_budget([len(tokens) for _, tokens in entries], resources.batch_tokens):
        states = text([entries[p][1] for p in positions])
        for position, wordpieces in zip(positions, states, strict=True):
            data = _to_disk(wordpieces, STORAGE[config.storage])
            entries[position][0]["T"] = Units(data=data, span=None, labels=None)


def _spans(segments: Sequence[Segment]) -> NDArray[np.int64]:
    return np.array([(segment.start_ms, segment.end_ms) for segment in segments], dtype=np.int64)


def _to_disk(states: Tensor, storage: torch.dtype) -> NDArray[np.generic]:
    """Round once, on the device, so that half the bytes cross the bus."""
    array: NDArray[np.generic] = states.to(storage).cpu().numpy()
    return array


def _out_of_range(units: dict[str, Units], config: ExtractConfig) -> str | None:
    """Why an utterance's features must not be stored, or None."""
    bad = {g: u.data.size - int(np.count_nonzero(np.isfinite(u.data))) for g, u in units.items()}
    if not any(bad.values()):
        return None
    where = ", ".join(f"{count} of {units[g].data.size} values of {g}" for g, count in bad.items() if count)
    way_out = "--storage float32 keeps them" if config.storage == "float16" else "the encoder itself gives them"
    return f"{where} {OUT_OF_RANGE} as {config.storage} ({way_out})"
