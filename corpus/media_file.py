"""Audio of phones and the web (m4a, aac, mp4, webm), which libsndfile does not read: through PyAV, the extra `media`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUFFIXES = (".m4a", ".m4b", ".aac", ".mp4", ".mov", ".webm", ".mkv", ".mka", ".3gp", ".amr", ".wma")
"""Endings of files that are opened with it."""
SLACK = 0.15
"""Seconds that a whole file may hold less than its container says: what encoders put before and after the sound."""
INSTALL = 'python -m pip install "mer-fusion[media]"'


class MediaError(ValueError):
    """What is wrong with a file, without its name."""


def media_length(path: Path) -> tuple[int, int, int]:
    """Samples per channel, rate and channels, counted over the packets; nothing is decoded.

    Raises:
        MediaError: the extra is not there, no audio, or less of it than the container says.
    """
    with _opened(path) as (container, stream):
        spans = [(packet.pts, packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
        if not spans or not stream.time_base:
            raise MediaError("holds no samples")
        seconds = float(
            (max(start + span for start, span in spans) - max(0, min(start for start, _ in spans))) * stream.time_base
        )
        promised = _promised(container, stream) or seconds
        if seconds < promised - SLACK:
            raise MediaError(f"ends early: its header promises {promised:.3f} s, {seconds:.3f} s are there; copy the file again")
        return round(seconds * stream.rate), int(stream.rate), int(stream.channels)


def read_media(path: Path) -> NDArray[np.float32]:
    """All samples, frames x channels, at the file's own rate.

    Raises:
        MediaError: as `media_length`, or damage.
    """
    import av

    with _opened(path) as (container, stream):
        planes = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        parts = [part.to_ndarray() for frame in container.decode(stream) for part in planes.resample(frame)]
        parts += [part.to_ndarray() for part in planes.resample(None)]
    if not parts:
        raise MediaError("holds no samples")
    return np.ascontiguousarray(np.concatenate(parts, axis=1).T, dtype=np.float32)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    try:
        import av
    except ImportError:
        raise MediaError(
            f"{path.suffix} is read with the extra `media`, which is not installed: {INSTALL} (or convert the file to 16-bit PCM "
            "wav or FLAC)"
        ) from None
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError("holds no audio stream")
            yield container, container.streams.audio[0]
    except (av.FFmpegError, OSError) as problem:  # pyright: ignore[reportPrivateImportUsage]
        raise MediaError(f"not readable as audio ({problem.strerror or problem})") from None


def _promised(container: Any, stream: Any) -> float | None:
    """Seconds of sound by the header; None where it does not say, as in what a browser records."""
    if container.format.name == "aac":  # FFmpeg guesses from the first frames
        return None
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None  # microseconds
