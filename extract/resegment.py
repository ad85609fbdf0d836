"""`mer extract --resegment`: phones, syllables and words anew from frames that a cache keeps, without the encoders."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer.cache import (
    CacheError,
    CacheFolder,
    FailedUtterance,
    FeatureCache,
    Units,
    UtteranceRecord,
    build_shard,
    check_numbers,
)
from mer.cache.encoder_folders import NOTE, places_from
from mer.corpus import AlignmentError, Corpus, Segment, Utterance
from mer.corpus.audio import audio_seconds
from mer.corpus.given_texts import read_texts, with_texts
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.extract.extraction import Extraction, summary
from mer.extract.identity import earlier_spec, provenance, segment_rule
from mer.extract.inputs import audio_digest, fingerprint, make_record, wanted_segments
from mer.extract.own_units import add_whole
from mer.extract.planning import Planning, Rows
from mer.extract.pretrained import model_label
from mer.extract.progress import Committed, Encoded, EventCounter, ExtractionProgress
from mer.extract.run import check_disk
from mer.extract.segments import frame_ranges, segment_means

KEPT_FRAMES = "as stored"
"""In a cache's identity: its segments are averages of frames rounded to the stored type, not of the encoder's own."""


def resegment(
    corpus: Corpus,
    config: ExtractConfig,
    cache: Path | str,
    *,
    resources: Resources | None = None,
    on_progress: Callable[[ExtractionProgress], None] = lambda progress: None,
) -> Extraction:
    """Make a cache with other segments out of one that keeps its frames; F and T are copied bit for bit.

    It is a cache of its own, with its own key: an average of frames in float16 is not, to the last bit, the average of
    the encoder's float32 frames (differences stay below float16's own rounding).

    Args:
        corpus: with the new alignments.
        config: as the frames were extracted, but for `alignment`, `fillers` and `granularities`.
        cache: root of the caches; the new one goes beside the old one.
        resources: only `shard_bytes` counts: there is no model to run.
        on_progress: called after each utterance.

    Raises:
        ExtractError: no cache, or several that differ, with such frames; utterances that it does not hold, or whose
            audio or text is another now.
        CacheError: a damaged cache, or one of an earlier version whose layers are not what they are taken for.
    """
    cache = Path(cache)
    if not config.needs_alignment:
        raise ExtractError("--resegment makes P, S and W; name one of them in --granularity, or leave --resegment out")
    if config.texts is not None:
        corpus, _ = with_texts(corpus, read_texts(config.texts))
    source = _find_source(corpus, config, cache)
    _check_same_inputs(corpus, source, config)
    folder = CacheFolder.create(cache, _new_spec(source.spec, config))
    folder.sweep_temporaries()
    planning = _Planning(corpus, folder, source, config, resources or Resources())
    planned = list(planning.shards())
    todo = sorted(planning.to_do(planned), key=lambda shard: shard.name)
    check_disk(folder.path, int(sum(sum(planning.sizes(shard.rows)) for shard in todo)))
    seconds = dict(zip(source.utterances.ids, source.utterances.seconds, strict=True))
    counter = EventCounter(on_progress)
    for shard in todo:
        utterances = planning.utterances(shard)
        counter.expect(shard.name, len(utterances), float(sum(seconds.get(each.id, 0.0) for each in utterances)))
    started = time.monotonic()
    for shard in todo:
        _make_shard(shard.name, planning.utterances(shard), source, folder, config, counter)
    return summary(folder, [shard.name for shard in planned], counter, time.monotonic() - started, asked=planning.asked)


class _Planning(Planning):
    """Shards of a corpus whose frames are kept: their sizes are known without opening audio."""

    def __init__(
        self, corpus: Corpus, folder: CacheFolder, source: FeatureCache, config: ExtractConfig, resources: Resources
    ) -> None:
        super().__init__(corpus, folder, expected_bytes=int, target_bytes=resources.shard_bytes)
        self._utterances, self._source, self._config = corpus.utterances, source, config

    def sizes(self, rows: Rows) -> Iterator[float]:
        """Bytes of what is copied, and of what is averaged at most."""
        return (_stored_bytes(self._utterances[row], self._source, self._config) for row in rows.tolist())


def _find_source(corpus: Corpus, config: ExtractConfig, cache: Path) -> FeatureCache:
    """The cache under the root whose frames are those that this configuration would give."""
    there = sorted(path.parent for path in (cache / corpus.name).glob("*/spec.json"))
    found = [folder for folder in map(CacheFolder.find, there) if _fits(folder.spec, config)]
    # Of the same encoders in an earlier version: what replaced them is there.
    replaced = {_frames_identity(earlier) for folder in found if (earlier := earlier_spec(folder.spec))}
    found = [folder for folder in found if _frames_identity(folder.spec) not in replaced]
    if not found:
        raise ExtractError(
            f"{cache / corpus.name}: no cache of these encoders and settings with frames (granularity F) among "
            f"{len(there)}; run `mer extract` without --resegment"
        )
    if len({_frames_identity(folder.spec) for folder in found}) > 1:
        raise ExtractError(
            f"{cache / corpus.name}: {', '.join(folder.path.name for folder in found)} hold frames of different weights or "
            "layers under these names; give --layers or --revision, or move those aside that are not meant"
        )
    fullest = max(found, key=lambda folder: sum(len(sidecar.utterances) for sidecar in folder.sidecars().values()))
    source = FeatureCache(fullest)
    for granularity in ("F", "T") if config.needs_text else ("F",):
        check_numbers(source, granularity)
    return source


def _fits(spec: Mapping[str, Any], config: ExtractConfig) -> bool:
    speech, text = spec.get("speech"), spec.get("text")
    if "F" not in spec["granularities"] or not speech or speech["model"] != model_label(config.speech_model):
        return False
    if speech.get("long", config.long) != config.long:
        return False
    heard = None if config.texts is None else read_texts(config.texts).sha256
    wanted = [model_label(config.text_model), config.text_tags, config.long_text, heard]
    found = None if not text else [text["model"], text["tags"], text.get("long", "refuse"), text.get("transcripts")]
    if config.needs_text and found != wanted:
        return False
    streams = {"speech": config.speech_revision} | ({"text": config.text_revision} if config.needs_text else {})
    return (
        spec["compute"]["dtype"] == config.dtype
        and spec["storage"]["dtype"] == config.storage
        and all(config.layers is None or list(config.layers) == spec["layers"][stream] for stream in streams)
        and all(revision is None or revision == spec[stream].get("revision") for stream, revision in streams.items())
    )


def _frames_identity(spec: Mapping[str, Any]) -> str:
    return repr([spec.get("speech"), spec.get("text"), spec["layers"]])


def _new_spec(spec: Mapping[str, Any], config: ExtractConfig) -> dict[str, Any]:
    streams = ("speech", "text") if config.needs_text else ("speech",)
    kept = {name: spec[name] for name in ("format_version", "corpus", "compute", "storage", *streams)}
    return kept | {
        "granularities": list(config.granularities),
        "layers": {stream: spec["layers"][stream] for stream in streams},
        "dim": {stream: spec["dim"][stream] for stream in streams},
        "segments": segment_rule(config) | {"frames": KEPT_FRAMES},
    }


def _check_same_inputs(corpus: Corpus, source: FeatureCache, config: ExtractConfig) -> None:
    """Frames are used again only for the very audio they were made of.

    Raises:
        ExtractError: naming the first utterance that is missing, or has other audio or another text now.
    """
    rows = {name: row for row, name in enumerate(source.utterances.ids)}
    failed = {failure.id for failure in source.failed}
    audio: dict[str, str | None] = {}
    for sidecar in source.folder.sidecars().values():
        audio |= sidecar.provenance.get("audio", {})
    for utterance in corpus:
        if utterance.id in failed:
            continue
        if utterance.id not in rows:
            raise ExtractError(
                f"{source.folder.path}: no frames of {utterance.id!r}; run `mer extract` without --resegment first"
            )
        changed = config.needs_text and source.utterances.texts[rows[utterance.id]] != (utterance.text or "")
        if utterance.id in audio:
            changed |= audio[utterance.id] != audio_digest(utterance)
        else:  # made before the digests were kept
            changed |= abs(audio_seconds(utterance) - source.utterances.seconds[rows[utterance.id]]) > 0.001
        if changed:
            raise ExtractError(
                f"{utterance.id!r}: audio or text is not what the frames in {source.folder.path} were made of; run "
                "`mer extract` without --resegment"
            )


def _stored_bytes(utterance: Utterance, source: FeatureCache, config: ExtractConfig) -> int:
    """Bytes of what is copied, and as much again for what is averaged."""
    if utterance.id not in source.utterances.ids:
        return 0
    kept = sum(source.read(utterance.id, g).nbytes for g in config.granularities if g in "FT")
    return kept + source.read(utterance.id, "F").nbytes


def _make_shard(
    name: str,
    utterances: Sequence[Utterance],
    source: FeatureCache,
    folder: CacheFolder,
    config: ExtractConfig,
    counter: EventCounter,
) -> None:
    done: list[tuple[UtteranceRecord, dict[str, Units]]] = []
    failed: list[FailedUtterance] = []
    reasons = {failure.id: failure.reason for failure in source.failed}
    whole: dict[str, dict[str, list[str]]] = {}
    started = time.time()
    for utterance in utterances:
        mark = fingerprint(utterance)
        if utterance.id in reasons:
            failed.append(FailedUtterance(id=utterance.id, reason=reasons[utterance.id], fingerprint=mark))
            continue
        try:
            record, units, lacking = _anew(utterance, mark, source, config)
        except (AlignmentError, CacheError) as problem:
            failed.append(FailedUtterance(id=utterance.id, reason=str(problem), fingerprint=mark))
            continue
        done.append((record, units))
        add_whole(whole, record.id, lacking)
        counter(Encoded(name, 1, record.seconds))
    notes = {
        "conversions": {},
        "alignments": dict(Counter(record.alignment for record, _ in done)),
        "whole_segments": whole,
        "audio": {utterance.id: audio_digest(utterance) for utterance in utterances},
        "resegmented_from": source.key,
        "encoder_layers": next((each["encoder_layers"] for each in source.provenances if "encoder_layers" in each), None),
        NOTE: places_from(folder.path, source.encoder_folders),
        "started": started,
        "finished": time.time(),
    }
    sidecar = folder.commit(name, build_shard(folder.spec, done, failed), provenance(torch.device("cpu")) | notes)
    counter(Committed(name, sidecar.bytes))


def _anew(
    utterance: Utterance, mark: str, source: FeatureCache, config: ExtractConfig
) -> tuple[UtteranceRecord, dict[str, Units], Mapping[str, str]]:
    seconds = float(source.utterances.seconds[source.utterances.index(utterance.id)])
    segments = wanted_segments(utterance, config, round(seconds * 1000))
    frames = source.read(utterance.id, "F")
    units = {g: Units(data=source.read(utterance.id, g)) for g in config.granularities if g in "FT"}
    units |= {g: _averaged(frames, tier, source.spec) for g, tier in segments.tiers.items()}
    return make_record(utterance, seconds, segments.alignment, mark), units, segments.whole


def _averaged(frames: np.ndarray, segments: Sequence[Segment], spec: Mapping[str, Any]) -> Units:
    spans = np.array([(segment.start_ms, segment.end_ms) for segment in segments], dtype=np.int64)
    speech = spec["speech"]
    ranges = frame_ranges(
        spans,
        len(frames),
        sample_rate=speech["sample_rate"],
        stride=speech["frame_stride"],
        length=speech["frame_length"],
        offset=speech.get("frame_offset", 0),
    )
    means = segment_means(torch.from_numpy(frames.copy()), ranges)
    stored = means.numpy().astype(spec["storage"]["dtype"])
    return Units(data=stored, span=spans / 1000.0, labels=tuple(segment.label for segment in segments))
