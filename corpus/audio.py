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
from mer.corpus.sound_quality import odd_sounds

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


def read_header(path: Path) -> AudioHeader:
    """Read and check a header.

    Raises:
        AudioError: no file, no audio, a codec that is not read, no samples, or a recording that ends before its header
            says, or before its stream is closed.
    """
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


def read_wave(path: Path, sample_rate: int) -> Wave:
    """Decode a file to mono float32 at `sample_rate`, saying what had to be converted.

    Channels are averaged; other rates go through soxr's high-quality resampler.

    Raises:
        AudioError: as `read_header`, or samples that are not finite.
    """
    header = read_header(path)
    samples, rate = _decode(path), header.sample_rate
    _refuse_lost(path, header, len(samples))
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: {np.count_nonzero(~np.isfinite(samples))} samples are NaN or infinite")
    mono = samples[:, 0] if header.channels == 1 else samples.mean(axis=1)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return Wave(
        samples=np.ascontiguousarray(mono, dtype=np.float32),
        resampled_from=rate if rate != sample_rate else None,
        downmixed_from=header.channels if header.channels != 1 else None,
        odd=odd_sounds(samples, rate),
    )


def _decode(path: Path) -> NDArray[np.float32]:
    """All samples, frames x channels, at the file's own rate."""
    if path.suffix.lower() in MEDIA_SUFFIXES:
        return _of_media(read_media, path)
    try:
        samples: NDArray[np.float32] = soundfile.read(str(path), dtype="float32", always_2d=True)[0]
    except soundfile.SoundFileError as problem:
        raise AudioError(f"{path}: does not decode ({str(problem).rstrip('.')})") from None
    return samples


def _of_media(read: Callable[[Path], Read], path: Path) -> Read:
    try:
        return read(path)
    except MediaError as problem:
        raise AudioError(f"{path}: {problem}") from None


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


def _refuse_lost(path: Path, header: AudioHeader, decoded: int) -> None:
    """Whatever the container: not fewer samples than were announced.

    Raises:
        AudioError: with the seconds announced and decoded.
    """
    if decoded < header.least:
        raise AudioError(
            f"{path}: ends early or is damaged: its header promises {header.seconds:.3f} s, "
            f"{decoded / header.sample_rate:.3f} s decode; copy the file again"
        )
