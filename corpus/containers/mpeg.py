"""MPEG audio, layers I to III: frames one after the other, the first of which may tell how many there are."""

from dataclasses import dataclass
from typing import BinaryIO

from mer.corpus.containers.extent import Extent

_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by version (2 also for 2.5) and layer, from index 1 (ISO 11172-3 and 13818-3)."""
_RATES = (44_100, 48_000, 32_000)
_SEARCHED = 65_536
"""Bytes before the first frame that may be something else."""


@dataclass(frozen=True, slots=True)
class _Frame:
    length: int
    """Bytes."""
    samples: int
    """Per channel."""
    rate: int
    stream: tuple[int, ...]
    """What all frames of a stream have in common: version, layer, sampling rate."""
    side: int
    """Bytes from its start to where a table of contents may begin."""


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the first frame of layer III says of the others (Xing, Info, VBRI)."""

    frames: int
    size: int | None
    """Bytes of all frames."""
    trimmed: int
    """Samples of the encoder's own at both ends, which are not played."""


def mpeg_extent(file: BinaryIO) -> Extent | None:
    """Go from frame to frame to the last one.

    Tags after it (ID3v1, APE, Lyrics3) begin like no frame and end the walk. A frame that begins and does not end is cut
    off, and so is a stream of fewer frames, and bytes, than its first one tells. A cut exactly between two frames of a
    stream without such a table cannot be seen.

    Returns:
        None where there is no frame, or its length is not told (free format).
    """
    data = file.read()
    position = _first(data)
    if position is None:
        return None
    first = _frame(data, position)
    assert first is not None  # `_first` has found it
    contents = _contents(data, position, first)
    start = position
    if contents is not None:
        position += first.length
    count, samples, cut = 0, 0, False
    while position < len(data):
        frame = _frame(data, position)
        if frame is None or frame.stream != first.stream:
            rest = len(data) - position
            if rest < 4 and data[position : position + 2] == data[start : start + min(2, rest)]:
                cut = True  # the first bytes of another frame
                break
            again = _resync(data, position, first)
            if again is None:
                break
            position = again
        elif position + frame.length > len(data):
            cut = True
            break
        else:
            count, samples, position = count + 1, samples + frame.samples, position + frame.length
    there = samples / first.rate
    if contents is None:
        return Extent(promised=None, there=there, whole=not cut, missing="a part of its last frame")
    promised = max(0, contents.frames * first.samples - contents.trimmed) / first.rate
    enough = count >= contents.frames - 1 if contents.size is None else position - start >= contents.size
    lacking = max(1, contents.frames - count)
    return Extent(
        promised=promised,
        there=min(promised, there) if cut or count < contents.frames else promised,
        whole=not cut and (count >= contents.frames or enough),
        missing=f"{lacking} of its {contents.frames:,} frames",
    )


def begins_with_frame(data: bytes) -> bool:
    """Whether some bytes begin as a frame does."""
    return _frame(data, 0) is not None


def _first(data: bytes) -> int | None:
    """Where the first frame is: one that another of the same stream follows, or that is the only one."""
    position = data.find(b"\xff")
    while 0 <= position < _SEARCHED:
        frame = _frame(data, position)
        if frame is not None:
            end = position + frame.length
            following = _frame(data, end)
            if end >= len(data) - 3 or (following is not None and following.stream == frame.stream):
                return position
        position = data.find(b"\xff", position + 1)
    return None


def _resync(data: bytes, position: int, first: _Frame) -> int | None:
    """The next place where two frames of the stream follow each other."""
    position = data.find(b"\xff", position + 1)
    while position >= 0:
        frame = _frame(data, position)
        if frame is not None and frame.stream == first.stream:
            following = _frame(data, position + frame.length)
            if following is not None and following.stream == first.stream:
                return position
        position = data.find(b"\xff", position + 1)
    return None


def _frame(data: bytes, position: int) -> _Frame | None:
    head = data[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = {0: 25, 2: 2, 3: 1}.get(head[1] >> 3 & 3), 4 - (head[1] >> 1 & 3)
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version is None or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    half = version != 1
    hertz = _RATES[rate] // {1: 1, 2: 2, 25: 4}[version]
    bits = 1000 * _BITRATES[2 if half else 1, layer][bitrate - 1]
    padding = head[2] >> 1 & 1
    samples = 384 if layer == 1 else 576 if layer == 3 and half else 1152
    length = (12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding
    mono = head[3] >> 6 == 3
    side = 4 + ((9 if mono else 17) if half else (17 if mono else 32))
    return _Frame(length, samples, hertz, (version, layer, hertz), side)


def _contents(data: bytes, position: int, first: _Frame) -> _Contents | None:
    frame = data[position : position + first.length]
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return _Contents(int.from_bytes(frame[50:54]), int.from_bytes(frame[46:50]), 0)
    table = frame[first.side :]
    if table[:4] not in (b"Xing", b"Info") or len(table) < 8:
        return None
    flags, place = int.from_bytes(table[4:8]), 8
    frames = size = None
    if flags & 1:
        frames, place = int.from_bytes(table[place : place + 4]), place + 4
    if flags & 2:
        size, place = int.from_bytes(table[place : place + 4]), place + 4
    place += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    delays = int.from_bytes(table[place + 21 : place + 24]) if table[place : place + 4].isalnum() else 0
    # A table without a number of frames is still no audio.
    return _Contents(frames or 0, size, (delays >> 12) + (delays & 0xFFF))
