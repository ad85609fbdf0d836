"""Audio files as the encoders want them: mono float32 at one rate, everything odd refused or counted."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

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
RESAMPLER = "soxr HQ"
UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # what a recorder writes that could not seek back to the header


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
        AudioError: no file, no audio, a codec that is not read, no samples, or a wav that ends before its header says.
    """
    try:
        there = path.is_file()
    except OSError as problem:  # a name that is too long for the file system
        raise AudioError(f"{path}: cannot be looked at ({problem.strerror})") from None
    if not there:
        raise AudioError(f"{path}: no audio file there")
    try:
        info = soundfile.info(str(path))
    except soundfile.SoundFileError as problem:
        raise AudioError(f"{path}: not readable as audio ({str(problem).rstrip('.')})") from None
    if info.subtype not in CODECS:
        raise AudioError(f"{path}: codec {info.subtype} is not read; convert it to 16-bit PCM wav or FLAC")
    if info.frames <= 0:
        raise AudioError(f"{path}: holds no samples")
    missing = _missing_bytes(path)
    if missing:
        raise AudioError(f"{path}: ends {missing} bytes before its header says; copy the file again")
    return AudioHeader(info.frames, info.samplerate, info.channels)


def read_wave(path: Path, sample_rate: int) -> Wave:
    """Decode a file to mono float32 at `sample_rate`, saying what had to be converted.

    Channels are averaged; other rates go through soxr's high-quality resampler.

    Raises:
        AudioError: as `read_header`, or samples that are not finite.
    """
    header = read_header(path)
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as problem:
        raise AudioError(f"{path}: does not decode ({str(problem).rstrip('.')})") from None
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: {np.count_nonzero(~np.isfinite(samples))} samples are NaN or infinite")
    mono = samples[:, 0] if header.channels == 1 else samples.mean(axis=1)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return Wave(
        samples=np.ascontiguousarray(mono, dtype=np.float32),
        resampled_from=rate if rate != sample_rate else None,
        downmixed_from=header.channels if header.channels != 1 else None,
    )


def _missing_bytes(path: Path) -> int:
    """Bytes that a RIFF file's data chunk promises and the file does not hold; 0 for other formats.

    libsndfile shortens such a file without a word, and its features would be those of another utterance.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(12)
        if len(magic) < 12 or magic[:4] != b"RIFF" or magic[8:] != b"WAVE":
            return 0
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"data":
                return 0 if length in UNKNOWN_SIZES else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)  # chunks are padded to even length
    return 0
