"""What an extraction will take of the disk and of the memory, told from the encoders' configs before any weight is read."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mer.backends.device import resolve_device
from mer.cache import CacheError, CacheFolder
from mer.cache.folder import candidates
from mer.cache.plan import session_of_shard, session_slug
from mer.corpus import Corpus, Utterance
from mer.corpus.audio import audio_seconds
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.extract.families.checkpoint import Checkpoint
from mer.extract.families.open_checkpoint import open_speech, open_text
from mer.extract.feature_size import FeatureSize, feature_size_of
from mer.extract.memory import free_bytes, weight_bytes
from mer.extract.pretrained import model_label
from mer.extract.run import most_workers

LOOKED_AT = 400
"""Recordings whose lengths are read; of a larger corpus so many, all over it."""
ASKED_AT = 20_000
"""The same of utterances that are asked for their session."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What one cache will take."""

    seconds: float
    """Audio of the whole corpus."""
    disk: int
    """Bytes of the whole corpus' features."""
    disk_without_frames: int
    """The same if frames were left out; equal where they are the only granularity or are not wanted."""
    there: int
    """Bytes that a cache of these encoders and granularities has already of these sessions, if there is one."""
    weights: int
    """Bytes of the encoders' weights in float32; 0 where they cannot be told."""
    workers: int
    """Processes on this machine that hold them, and two shards each; 0 where the work is done elsewhere."""
    memory: int
    """Bytes that all of these take together, but for what a forward pass needs."""

    def __str__(self) -> str:
        hours = self.seconds / 3600
        of_disk = (
            f"about {_gb(self.disk)} on the disk for {hours:.2g} hours of audio ({_gb(self.disk / max(hours, 1e-9))} an hour)"
        )
        if self.there:
            of_disk += f", {_gb(self.there)} of it there"
        if not self.workers:
            return f"planned: {of_disk}; weights of {_gb(self.weights)} in each worker"
        processes = f"{self.workers} process{'es' if self.workers > 1 else ''}"
        return (
            f"planned: {of_disk}; {_gb(self.memory)} of memory and the forward pass in {processes} (weights {_gb(self.weights)})"
        )


def forecast(corpus: Corpus, config: ExtractConfig, cache: Path, resources: Resources, *, elsewhere: bool = False) -> Forecast:
    """What an extraction will take.

    Args:
        corpus: what is extracted.
        config: how.
        cache: root of the caches.
        resources: device, processes and the size of shards.
        elsewhere: whether other machines do the work, whose memory is not known.

    Raises:
        EncoderError: an encoder that is not to be had.
        ExtractError: a layer that an encoder does not have.
    """
    speech = open_speech(config.speech_model, config.speech_revision) if config.needs_speech else None
    text = open_text(config.text_model, config.text_revision) if config.needs_text else None
    size = feature_size_of(config, speech, text)
    lengths = _lengths(corpus.utterances)
    scale = len(corpus) / len(lengths)
    disk = sum(map(size, lengths)) * scale
    shorter = FeatureSize(
        unit_bytes={name: each for name, each in size.unit_bytes.items() if name != "F"} or size.unit_bytes,
        sample_rate=size.sample_rate,
        frame_count=size.frame_count,
    )
    weights = sum(_weights(each) for each in (speech, text) if each is not None)
    on_cpu = resolve_device(resources.device).type == "cpu"
    shards = max(1, -(-int(disk) // resources.shard_bytes))
    workers = 0 if elsewhere else min(most_workers(resources), shards)
    return Forecast(
        seconds=sum(lengths) * scale,
        disk=int(disk),
        disk_without_frames=int(sum(map(shorter, lengths)) * scale),
        there=_there(corpus, config, cache),
        weights=weights,
        workers=workers,
        memory=workers * ((weights if on_cpu else 0) + 2 * min(resources.shard_bytes, int(disk))),
    )


def check_forecasts(planned: Sequence[Forecast], cache: Path) -> int:
    """Refuse what this machine cannot hold.

    Args:
        planned: of each cache that is to be made, one after the other.
        cache: root of the caches, there already or not.

    Returns:
        Bytes that will be written.

    Raises:
        ExtractError: what is needed, what there is, and what would fit.
    """
    root = next(each for each in (cache.absolute(), *cache.absolute().parents) if each.exists())
    free, needed = shutil.disk_usage(root).free, sum(max(0, each.disk - each.there) for each in planned)
    if needed > free:
        smaller = sum(each.disk_without_frames for each in planned)
        advice = f", or leave F out of --granularity: {_gb(smaller)}" if smaller < sum(each.disk for each in planned) else ""
        raise ExtractError(
            f"{cache}: about {_gb(needed)} will be written, the disk has {_gb(free)} free. Give --cache on a larger disk, fewer "
            f"--layers{advice}"
        )
    largest, memory = max(planned, key=lambda each: each.memory), free_bytes(torch.device("cpu"))
    if largest.workers > 1 and largest.memory > memory:
        fitting = max(1, largest.workers * memory // largest.memory)
        raise ExtractError(
            f"{largest.workers} processes take {_gb(largest.memory)} of memory and more for their forward passes, and this "
            f"machine has {_gb(memory)} free; `--workers {fitting}` fits"
        )
    return needed


def _lengths(utterances: Sequence[Utterance]) -> list[float]:
    """Seconds of some utterances, all over the corpus."""
    return [audio_seconds(each) for each in _some(utterances, LOOKED_AT)]


def _some(utterances: Sequence[Utterance], most: int) -> Iterator[Utterance]:
    """So many utterances at most, all over the corpus: each is read from the disk where a manifest is large."""
    rows = np.linspace(0, len(utterances) - 1, min(len(utterances), most)).astype(int)
    return (utterances[row] for row in rows.tolist())


def _weights(checkpoint: Checkpoint) -> int:
    if checkpoint.loads_itself:
        return 0
    with suppress(NotImplementedError, RuntimeError):  # an architecture that cannot be built without numbers
        return weight_bytes(checkpoint)
    return 0


def _there(corpus: Corpus, config: ExtractConfig, cache: Path) -> int:
    """Bytes of the fullest cache of these encoders, by their names: which it is, only the weights will tell."""
    wanted = {"speech": config.speech_model} if config.needs_speech else {}
    wanted |= {"text": config.text_model} if config.needs_text else {}
    places, found = candidates(cache / corpus.name), [0]
    asked = {session_slug(each.session) for each in _some(corpus.utterances, ASKED_AT)} if places else set[str]()
    for place in places:
        with suppress(CacheError):
            folder = CacheFolder.find(place)
            models = {kind: folder.spec.get(kind, {}).get("model") for kind in wanted}
            same = models == {kind: model_label(name) for kind, name in wanted.items()}
            if same and folder.spec["granularities"] == list(config.granularities):
                found.append(sum(folder.shard_bytes(name) for name in folder.shard_files() if session_of_shard(name) in asked))
    return max(found)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"
