"""One utterance made ready for the encoders, or the reason why it cannot be."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.cache import CacheError, FailedUtterance, UtteranceRecord
from mer.corpus import AlignmentError, Segment, Utterance, remove_tags
from mer.corpus.audio import AudioError, Wave, audio_seconds, seconds_of
from mer.corpus.earlier_reading import changed_reading
from mer.corpus.sound_quality import LONGEST
from mer.extract.config import ExtractConfig
from mer.extract.own_units import NO_ALIGNMENT, TIERS, why_whole
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.text_encoder import TextEncoder
from mer.files.regular_file import open_file

WaveReader = Callable[[Utterance, int], Wave]
"""From an utterance and a rate in Hz to its waveform."""
OVERHANG_MS = 100
"""How far an alignment may end after the audio: rounding to frames, and the 2-frame offset of some releases."""


class UtteranceError(ValueError):
    """An utterance that cannot be extracted; recorded with its reason while the run goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedSegments:
    """Segments of the wanted tiers among P S W."""

    alignment: str = "none"
    """Where their times come from; `none` = each tier is one segment over the whole utterance."""
    tiers: Mapping[str, tuple[Segment, ...]] = field(default_factory=dict)
    """At least one each."""
    whole: Mapping[str, str] = field(default_factory=dict)
    """Tiers that are one segment over the whole utterance, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """One utterance, decoded, normalised, tokenised, with its segments in milliseconds."""

    record: UtteranceRecord
    """What the cache keeps beside the features."""
    wave: NDArray[np.float32] | None
    """Prepared waveform at the encoder's rate; None when no speech granularity is wanted."""
    tokens: list[int] | None
    """Wordpiece ids; None when T is not wanted."""
    segments: WantedSegments
    """Segments of P, S and W."""
    conversions: tuple[str, ...]
    """What was done to the audio file, in words that can be counted."""
    odd: tuple[str, ...] = ()
    """Kinds of `ODD_SOUNDS` that the recording is of."""


class Fingerprints(Mapping[str, str]):
    """Sha256 of each utterance's inputs by id, computed when first asked for (reading every wav takes time)."""

    def __init__(self, utterances: Mapping[str, Utterance]) -> None:
        self._utterances = utterances
        self._known: dict[str, str] = {}

    def __getitem__(self, utterance_id: str) -> str:
        if utterance_id not in self._known:
            self._known[utterance_id] = fingerprint(self._utterances[utterance_id])
        return self._known[utterance_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._utterances)

    def __len__(self) -> int:
        return len(self._utterances)


def fingerprint(utterance: Utterance) -> str:
    """Sha256 over everything on disk that decides an utterance's features and labels: changed input, stale shard."""
    digest = hashlib.sha256()
    fields = (
        utterance.id,
        utterance.text,
        utterance.label,
        utterance.speaker,
        utterance.session,
        utterance.style,
    )
    digest.update(repr(fields).encode())
    digest.update(_part_mark(utterance).encode())
    if said := _more(replace(utterance, attributes=None, votes=None) if utterance.rated_later else utterance):
        digest.update(said.encode())
    for path in [utterance.wav, *(utterance.alignment.paths if utterance.alignment else ())]:
        try:
            digest.update(bytes.fromhex(_file_digest(path)))
        except OSError as problem:
            digest.update(f"unreadable: {type(problem).__name__}".encode())
    digest.update(changed_reading(utterance.alignment))
    return digest.hexdigest()


def audio_digest(utterance: Utterance) -> str | None:
    """Sha256 of an audio file and the part of it, kept with the features so that frames can be used again; None: unreadable."""
    try:
        return _file_digest(utterance.wav) + _part_mark(utterance)
    except OSError:
        return None


def _part_mark(utterance: Utterance) -> str:
    """Which part of its file an utterance is; empty for all of it."""
    if utterance.part.is_whole:
        return ""
    place: tuple[object, ...] = (utterance.start, utterance.end)
    return repr(place if utterance.channel is None else (*place, utterance.channel))


def _file_digest(path: Path) -> str:
    """Sha256 of a file; that of a recording of many utterances is computed once.

    Raises:
        OSError: it cannot be read.
    """
    state = path.stat()
    return _digest_at(path, state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size)


@lru_cache(maxsize=256)
def _digest_at(path: Path, *state: int) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prepare(
    utterance: Utterance, config: ExtractConfig, speech: SpeechEncoder | None, text: TextEncoder | None, read: WaveReader
) -> Prepared | FailedUtterance:
    """Read and check everything that one utterance needs."""
    mark = fingerprint(utterance)
    try:
        return _prepare(utterance, mark, config, (speech, text), read)
    except (UtteranceError, AudioError, AlignmentError, CacheError) as problem:
        return FailedUtterance(id=utterance.id, reason=str(problem), fingerprint=mark)


def _prepare(
    utterance: Utterance,
    mark: str,
    config: ExtractConfig,
    encoders: tuple[SpeechEncoder | None, TextEncoder | None],
    read: WaveReader,
) -> Prepared:
    speech, text = encoders
    wave, seconds = None, 0.0
    conversions, odd = tuple[str, ...](), tuple[str, ...]()
    segments = WantedSegments()
    if speech is not None:
        if (length := audio_seconds(utterance)) > LONGEST:
            raise UtteranceError(f"{utterance.wav}: {length / 3600:.1f} hours for one utterance; cut it into utterances")
        decoded = read(utterance, speech.sample_rate)
        seconds = len(decoded.samples) / speech.sample_rate
        if len(decoded.samples) < speech.frame_length:
            raise UtteranceError(
                f"{utterance.wav}: {len(decoded.samples)} samples at {speech.sample_rate} Hz; the encoder needs at least "
                f"{speech.frame_length} for one frame"
            )
        wave, conversions, odd = speech.prepare(decoded.samples), decoded.conversions(), decoded.odd
        if config.needs_alignment:
            segments = wanted_segments(utterance, config, round(seconds * 1000))
    else:
        seconds = seconds_of(utterance) if utterance.wav.is_file() else 0.0
    record = make_record(utterance, seconds, segments.alignment, mark)
    tokens = None if text is None else _tokens(utterance, config, text)
    return Prepared(record=record, wave=wave, tokens=tokens, segments=segments, conversions=conversions, odd=odd)


def _tokens(utterance: Utterance, config: ExtractConfig, text: TextEncoder) -> list[int]:
    if utterance.text is None:
        raise UtteranceError(f"{utterance.id}: no transcript, and the text encoder needs one (or leave T out)")
    spoken = remove_tags(utterance.text) if config.text_tags == "drop" else utterance.text
    tokens = text.tokenize([spoken])[0]
    if len(tokens) > text.max_tokens:
        raise UtteranceError(
            f"{utterance.id}: the transcript has {len(tokens)} wordpieces, the text encoder takes {text.max_tokens}; "
            f"split the utterance"
        )
    return tokens


def make_record(utterance: Utterance, seconds: float, alignment: str, mark: str) -> UtteranceRecord:
    """What a shard says of an utterance.

    Args:
        utterance: as the corpus has it.
        seconds: length of its audio.
        alignment: where its segments' times come from.
        mark: its fingerprint, of what its features are made from.
    """
    return UtteranceRecord(
        id=utterance.id,
        label=utterance.label,
        speaker=utterance.speaker,
        session=utterance.session,
        dialogue=utterance.dialogue,
        style=utterance.style,
        text=utterance.text or "",
        seconds=seconds,
        alignment=alignment,
        fingerprint=mark,
        more=_more(utterance),
    )


def _more(utterance: Utterance) -> str:
    """What else the corpus says of an utterance, as a cache keeps it."""
    said = {
        "split": utterance.split,
        "votes": dict(utterance.votes or {}),
        "attributes": utterance.attributes,
        "columns": dict(utterance.columns or {}),
    }
    kept = {name: value for name, value in said.items() if value}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False) if kept else ""


def wanted_segments(utterance: Utterance, config: ExtractConfig, duration_ms: int) -> WantedSegments:
    """The wanted tiers and where they come from; a tier without units is one segment over the whole utterance.

    Raises:
        AlignmentError: an alignment that cannot be read, or reaches beyond the audio.
    """
    whole = (Segment("", 0, duration_ms),)
    wanted = [g for g in config.granularities if g in "PSW"]
    if utterance.alignment is None:
        return WantedSegments(tiers=dict.fromkeys(wanted, whole), whole=dict.fromkeys(wanted, NO_ALIGNMENT))
    alignment = utterance.alignment.read()
    spoken = alignment.without_fillers() if config.fillers == "drop" else alignment
    tiers: dict[str, tuple[Segment, ...]] = {g: getattr(spoken, TIERS[g]) for g in wanted}
    last = max((segment.end_ms for tier in tiers.values() for segment in tier), default=0)
    if last > duration_ms + OVERHANG_MS:
        raise AlignmentError(
            f"{utterance.id}: its alignment ends at {last} ms, its audio at {duration_ms} ms "
            f"({utterance.alignment.paths[0]}): they do not belong together"
        )
    return WantedSegments(
        alignment=utterance.alignment.kind if any(tiers.values()) else "none",
        tiers={g: tier or whole for g, tier in tiers.items()},
        whole={g: why_whole(g, alignment, spoken) for g, tier in tiers.items() if not tier},
    )
