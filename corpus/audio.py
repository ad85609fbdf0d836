"""Audio files as the encoders want them: mono float32 at one rate, everything odd refused or counted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from mer.corpus.containers import Extent, read_extent
from mer.corpus.media_file import SUFFIXES as MEDIA_SUFFIXES
from mer.corpus.media_file import MediaError, media_length, read_media
from mer.corpus.part import WHOLE, Part
from mer.corpus.sound_quality import odd_sounds
from mer.corpus.utterance import Utterance

# Plain samples and the lossless or common lossy codecs. ADPCM and friends are left out: their decoders have a
# history of hangs and overflows on crafted files, and no speech corpus needs them.
CODECS = frozenset(
    {
        "PCM_S8",
        "PCM_U8",
        "PCM_16",
        "PCM_24",
        "PCM_32",
        "FLOAT",
        "DOUBLE",
        "ULAW",
        "ALAW",
        "VORBIS",
        "OPUS",
        "MPEG_LAYER_III",
    }
)
Read = TypeVar("Read")
RESAMPLER = "soxr HQ"
STREAMS = ("MP3", "OGG")
"""Formats whose decoders leave out a little at the ends."""
STREAM_SLACK = 0.15
"""Seconds of that at most: two of the longest frames of MPEG audio."""


END_SLACK = 0.01
"""Seconds that a part may be said to end after its file, which its times are rounded to."""


class AudioError(ValueError):
    """An audio file that cannot be used; the message says why and names the file."""


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """What a file's header says, before any sample is decoded."""

    frames: int
    """Samples per channel."""
    sample_rate: int
    """Hz."""
    channels: int
    """Interleaved channels."""
    least: int
    """Samples per channel that must decode: `frames`, less what decoders of streams may leave out at the ends."""

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.frames / self.sample_rate


@dataclass(frozen=True, slots=True)
class Wave:
    """Decoded audio, mono at the rate that was asked for."""

    samples: NDArray[np.float32]
    """1-D, full scale = 1."""
    resampled_from: int | None
    """The file's own rate in Hz where it differed."""
    downmixed_from: int | None
    """The file's channel count where it was not 1."""
    odd: tuple[str, ...] = ()
    """Kinds of `ODD_SOUNDS` that it is of."""

    def conversions(self) -> tuple[str, ...]:
        """What was done to the file, in words that can be counted."""
        notes = []
        if self.downmixed_from is not None:
            notes.append(f"downmixed from {self.downmixed_from} channels")
        if self.resampled_from is not None:
            notes.append(f"resampled from {self.resampled_from} Hz")
        return tuple(notes)


def read_header(path: Path | str) -> AudioHeader:
    """Read and check a header.

    Raises:
        AudioError: no file, no audio, a codec that is not read, no samples, or a recording that ends before its header
            says, or before its stream is closed.
    """
    path = Path(path)
    try:
        there = path.is_file()
    except OSError as problem:  # a name that is too long for the file system
        raise AudioError(f"{path}: cannot be looked at ({problem.strerror})") from None
    if not there:
        raise AudioError(f"{path}: no audio file there")
    if path.suffix.lower() in MEDIA_SUFFIXES:
        frames, rate, channels = _of_media(media_length, path)
        return AudioHeader(frames, rate, channels, frames - round(STREAM_SLACK * rate))
    extent = _whole_extent(path)
    try:
        info = soundfile.info(str(path))
    except soundfile.SoundFileError as problem:
        raise AudioError(f"{path}: not readable as audio ({str(problem).rstrip('.')})") from None
    if info.subtype not in CODECS:
        raise AudioError(f"{path}: codec {info.subtype} is not read; convert it to 16-bit PCM wav or FLAC")
    if info.frames <= 0:
        raise AudioError(f"{path}: holds no samples")
    return AudioHeader(info.frames, info.samplerate, info.channels, _least(path, info, extent))


def read_wave(path: Path | str, sample_rate: int, part: Part = WHOLE) -> Wave:
    """Decode a file, or a part of it, to mono float32 at `sample_rate`, saying what had to be converted.

    Channels are averaged unless the part names one; other rates go through soxr's high-quality resampler. Of a part, what
    comes before it is decoded only where decoders of streams (MP3, Ogg) cannot jump to a sample exactly.

    Raises:
        AudioError: as `read_header`, samples that are not finite, or a part that the file does not have.
    """
    path = Path(path)
    header = read_header(path)
    rate = header.sample_rate
    first, last = _extent_of(path, header, part)
    samples, stop = _decode(path, first, last)
    _refuse_lost(path, header, stop, last)
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: {np.count_nonzero(~np.isfinite(samples))} samples are NaN or infinite")
    if part.channel is not None:
        samples = samples[:, part.channel - 1 : part.channel]
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return Wave(
        samples=np.ascontiguousarray(mono, dtype=np.float32),
        resampled_from=rate if rate != sample_rate else None,
        downmixed_from=samples.shape[1] if samples.shape[1] != 1 else None,
        odd=odd_sounds(samples, rate),
    )


def read_recording(utterance: Utterance, sample_rate: int) -> Wave:
    """The waveform of an utterance; see `read_wave`."""
    return read_wave(utterance.wav, sample_rate, utterance.part)


def _decode(path: Path, first: int, last: int) -> tuple[NDArray[np.float32], int]:
    """Samples from the first up to the last, frames x channels, at the file's own rate; and where those end that decode."""
    if path.suffix.lower() in MEDIA_SUFFIXES:
        every = _of_media(read_media, path)
        return every[first:last], len(every)
    try:
        with soundfile.SoundFile(str(path)) as file:
            skipped = first if file.format in STREAMS else 0
            file.seek(first - skipped)
            samples = file.read(last - first + skipped, dtype="float32", always_2d=True)[skipped:]
    except soundfile.SoundFileError as problem:
        raise AudioError(f"{path}: does not decode ({str(problem).rstrip('.')})") from None
    return samples, first + len(samples)  # pyright: ignore[reportReturnType]


def _of_media(read: Callable[[Path], Read], path: Path) -> Read:
    try:
        return read(path)
    except MediaError as problem:
        raise AudioError(f"{path}: {problem}") from None


def seconds_of(utterance: Utterance) -> float:
    """Length of an utterance's audio, by the file's header.

    Raises:
        AudioError: as `read_header`, or a part that the file does not have.
    """
    header = read_header(utterance.wav)
    first, last = _extent_of(utterance.wav, header, utterance.part)
    return (last - first) / header.sample_rate


def audio_seconds(utterance: Utterance) -> float:
    """The same; 0 for what cannot be read (it fails with its reason when its turn comes)."""
    try:
        return seconds_of(utterance)
    except AudioError:
        return 0.0


def _extent_of(path: Path, header: AudioHeader, part: Part) -> tuple[int, int]:
    """The first sample of a part, and the one after its last.

    Raises:
        AudioError: the file has no such part or channel; with the numbers.
    """
    rate, frames = header.sample_rate, header.frames
    if part.channel is not None and not 1 <= part.channel <= header.channels:
        raise AudioError(f"{path}: no channel {part.channel}, it has {header.channels} (channels count from 1)")
    first, last = round(part.start * rate), frames if part.end is None else round(part.end * rate)
    if first < frames and last - frames <= END_SLACK * rate:
        last = min(last, frames)
    if not 0 <= first < last <= frames:
        end = "its end" if part.end is None else f"{part.end:.3f} s"
        raise AudioError(
            f"{path}: the utterance is said to be from {part.start:.3f} s to {end}, the recording has {header.seconds:.3f} s; "
            "mend the times or their unit, or leave their columns out if each file holds one utterance"
        )
    return first, last


def _whole_extent(path: Path) -> Extent | None:
    """Decoders shorten a file that was cut off without a word, and its features would be those of another utterance.

    Raises:
        AudioError: with what the header promises, and what is there.
    """
    try:
        extent = read_extent(path)
    except OSError as problem:
        raise AudioError(f"{path}: cannot be read ({problem.strerror or problem})") from None
    shortfall = None if extent is None else extent.shortfall()
    if shortfall:
        raise AudioError(f"{path}: {shortfall}")
    return extent


def _least(path: Path, info: Any, extent: Extent | None) -> int:
    """Samples that must decode.

    libsndfile estimates how long MPEG audio without a table of contents is, and stops there: half of it may go unread.

    Raises:
        AudioError: it would read less than there is.
    """
    frames, rate = int(info.frames), int(info.samplerate)
    if info.format not in STREAMS:
        return frames
    if info.format == "OGG" or extent is None:
        return frames - round(STREAM_SLACK * rate)
    seconds = extent.there if extent.promised is None else extent.promised
    least = round(((seconds or 0.0) - STREAM_SLACK) * rate)
    if frames < least:
        raise AudioError(
            f"{path}: {seconds:.3f} s of audio, of which libsndfile would read {frames / rate:.3f} s (its first "
            "frame does not count the others); convert it to 16-bit PCM wav or FLAC"
        )
    return least


def _refuse_lost(path: Path, header: AudioHeader, decoded: int, wanted: int) -> None:
    """Whatever the container: not fewer samples than were announced, as far as they are wanted.

    Raises:
        AudioError: with the seconds announced and decoded.
    """
    if decoded < min(wanted, header.least):
        raise AudioError(
            f"{path}: ends early or is damaged: its header promises {header.seconds:.3f} s, "
            f"{decoded / header.sample_rate:.3f} s decode; copy the file again"
        )
