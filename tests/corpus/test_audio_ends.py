"""Recordings that were cut off: found in every container that says how long it is, and nothing whole is called cut."""

import contextlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer.corpus.audio import AudioError, read_header, read_wave
from mer.corpus.containers import read_extent

RATE, SECONDS = 16_000, 1.2
TONE = (0.3 * np.sin(2 * np.pi * 200 * np.arange(round(RATE * SECONDS)) / RATE)).astype(np.float32)
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "ALAW"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("RF64", "DOUBLE"),
    ("W64", "PCM_16"),
    ("W64", "ULAW"),
    ("AIFF", "PCM_16"),
    ("AIFF", "PCM_S8"),
    ("AIFF", "FLOAT"),
    ("AIFF", "ALAW"),
    ("AU", "PCM_16"),
    ("AU", "PCM_24"),
    ("AU", "ULAW"),
    ("CAF", "PCM_16"),
    ("CAF", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("NIST", "PCM_16"),
    ("NIST", "ULAW"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AVR", "PCM_16"),
    ("VOC", "PCM_16"),
    ("SVX", "PCM_16"),
    ("MPC2K", "PCM_16"),
]
MONO_ONLY = {"SVX"}


def written(path: Path, kind: str, subtype: str, channels: int = 1, rate: int = RATE) -> bytes:
    samples = TONE if channels == 1 else np.stack([TONE, TONE[::-1]], axis=1)
    soundfile.write(path, samples, rate, format=kind, subtype=subtype)
    return path.read_bytes()


def reason(path: Path) -> str:
    with pytest.raises(AudioError) as raised:
        read_header(path)
    return str(raised.value)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
def test_whole_is_whole_and_cut_is_found(tmp_path: Path, kind: str, subtype: str, channels: int) -> None:
    if channels == 2 and kind in MONO_ONLY:
        return
    path = tmp_path / "a.audio"
    whole = written(path, kind, subtype, channels)
    assert len(read_wave(path, RATE).samples) == pytest.approx(RATE * SECONDS, abs=2)
    extent = read_extent(path)
    assert extent is not None
    assert extent.there == pytest.approx(SECONDS, abs=1e-4)
    for length in (len(whole) * 3 // 10, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 3):
        path.write_bytes(whole[:length])
        message = reason(path)
        assert re.search(r"a\.audio: ends early: its header", message)
        promised, there = re.search(r"promises ([\d.]+) s", message), re.search(r"([\d.]+) s are there", message)
        if kind == "OGG":
            assert "gives no length" in message
        else:
            assert promised is not None
            assert float(promised[1]) == pytest.approx(SECONDS, abs=1e-3)
        assert there is not None
        assert 0 <= float(there[1]) <= SECONDS
        if subtype.startswith(("PCM", "ALAW", "ULAW")) and kind not in ("FLAC", "CAF") and length < len(whole) - 3:
            assert float(there[1]) == pytest.approx(SECONDS * length / len(whole), abs=0.05)


@pytest.mark.parametrize(
    ("kind", "subtype", "tail"),
    [
        ("WAV", "PCM_16", b"LIST\x04\0\0\0INFO"),
        ("WAV", "PCM_16", bytes(1000)),
        ("RF64", "PCM_16", b"LIST\x04\0\0\0INFO"),
        ("AIFF", "PCM_16", b"ANNO\0\0\0\4text"),
        ("AU", "PCM_16", b"x"),
        ("W64", "PCM_16", b"levl" + bytes(12) + struct.pack("<q8x", 32)),
        ("CAF", "PCM_16", b"free\0\0\0\0\0\0\0\4four"),
        ("NIST", "PCM_16", b"x"),
        ("FLAC", "PCM_16", b"TAG".ljust(128, b" ")),
        ("OGG", "VORBIS", b"junk"),
        ("MP3", "MPEG_LAYER_III", b"TAG".ljust(128, b" ")),
        ("MP3", "MPEG_LAYER_III", b"TAG\xff\xfb".ljust(128, b"\xff")),
        ("MP3", "MPEG_LAYER_III", b"APETAGEX".ljust(64, b"\xff")),
        ("MP3", "MPEG_LAYER_III", bytes(3)),
    ],
)
def test_what_follows_the_audio_is_not_taken_for_a_cut(tmp_path: Path, kind: str, subtype: str, tail: bytes) -> None:
    path = tmp_path / "a.audio"
    path.write_bytes(written(path, kind, subtype) + tail)
    extent = read_extent(path)
    assert extent is not None
    assert extent.whole
    if kind != "W64":  # libsndfile 1.2 reads chunks after the data as audio
        assert len(read_wave(path, RATE).samples) == pytest.approx(RATE * SECONDS, abs=2)


@pytest.mark.parametrize(("kind", "subtype"), [("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_16")])
def test_a_tag_in_front_is_passed_over(tmp_path: Path, kind: str, subtype: str) -> None:
    path = tmp_path / "a.audio"
    whole = b"ID3\x04\0\0\0\0\x01\x00" + b"\xff" * 128 + written(path, kind, subtype)
    path.write_bytes(whole)
    extent = read_extent(path)
    assert extent is not None
    assert extent.whole
    path.write_bytes(whole[:-300])
    assert "ends early" in reason(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFDB, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
def test_a_wave_from_a_pipe_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    whole = bytearray(written(path, "WAV", "PCM_16"))
    whole[4:8] = struct.pack("<I", min(size + 36, 0xFFFFFFFF))
    place = whole.index(b"data") + 4
    whole[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(whole)
    assert len(read_wave(path, RATE).samples) == len(TONE)


def test_other_streams_of_unknown_length_are_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "a.au"
    whole = bytearray(written(path, "AU", "PCM_16"))
    whole[8:12] = b"\xff" * 4
    path.write_bytes(whole[:-2000])
    assert len(read_wave(path, RATE).samples) == len(TONE) - 1000
    path = tmp_path / "a.caf"
    whole = bytearray(written(path, "CAF", "PCM_16"))
    place = whole.index(b"data") + 4
    whole[place : place + 8] = b"\xff" * 8
    path.write_bytes(whole)
    assert read_extent(path) is None


def frames_of(mp3: bytes) -> list[bytes]:
    """Of a stream of layer III at 16 kHz (version 2): 72 * bit rate / 16,000 bytes, and one if padded."""
    rates = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    frames, place = [], mp3.index(b"\xff")
    while place < len(mp3):
        length = 72_000 * rates[(mp3[place + 2] >> 4) - 1] // 16_000 + (mp3[place + 2] >> 1 & 1)
        frames.append(mp3[place : place + length])
        place += length
    return frames


def test_mpeg_audio_without_a_table_of_contents_must_end_with_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, TONE, RATE, bitrate_mode="CONSTANT", compression_level=0.5)
    frames = frames_of(path.read_bytes())[1:]
    path.write_bytes(b"".join(frames))
    extent = read_extent(path)
    assert extent is not None
    assert (extent.promised, extent.whole) == (None, True)
    assert extent.there == pytest.approx(len(frames) * 576 / RATE)
    for cut in (1, 3, len(frames[-1]) - 1, len(frames[-1]) - 3, len(frames[-1]) - 4):
        path.write_bytes(b"".join(frames)[:-cut])
        assert "gives no length" in reason(path)
        assert "a part of its last frame" in reason(path)


def test_mpeg_audio_of_which_the_decoder_would_read_a_part_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    noise = np.concatenate([np.zeros(RATE), 0.3 * np.random.default_rng(0).standard_normal(4 * RATE)])
    soundfile.write(path, noise[::-1], RATE, bitrate_mode="VARIABLE")
    path.write_bytes(b"".join(frames_of(path.read_bytes())[1:]))
    message = reason(path)
    assert re.search(r"5\.\d+ s of audio, of which libsndfile would read [1-4]\.\d+ s .*convert it", message)


def test_a_whole_frame_that_is_missing_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    frames = frames_of(written(path, "MP3", "MPEG_LAYER_III"))
    path.write_bytes(b"".join(frames[:-1]))
    assert re.search(r"promises 1\.200 s, .*missing: 1 of its \d+ frames", reason(path))


def test_fraunhofers_table_counts_frames_too(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    frames = frames_of(written(path, "MP3", "MPEG_LAYER_III"))
    head = max(frames, key=len)[:4] + bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 0, 0, 0, len(frames) - 1)
    table = head.ljust(len(max(frames, key=len)), b"\0")
    size = len(table) + sum(map(len, frames[1:]))
    table = table[:46] + struct.pack(">I", size) + table[50:]
    path.write_bytes(table + b"".join(frames[1:]))
    extent = read_extent(path)
    assert extent is not None
    assert extent.whole
    assert extent.promised == pytest.approx((len(frames) - 1) * 576 / RATE)
    path.write_bytes(table + b"".join(frames[1:-2]))
    assert "missing: 2 of its" in reason(path)


def test_ogg_needs_the_page_that_closes_its_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.random.default_rng(0).standard_normal(5 * RATE) * 0.1, RATE, subtype="VORBIS")
    whole = path.read_bytes()
    last = whole.rindex(b"OggS")
    path.write_bytes(whole[:last])
    assert re.search(r"gives no length, [34]\.\d+ s are there \(missing: the page that closes the stream\)", reason(path))
    path.write_bytes(whole + whole)  # chained: another stream after the first
    extent = read_extent(path)
    assert extent is not None
    assert extent.whole
    path.write_bytes(whole + whole[:last])
    assert "the page that closes the stream" in reason(path)


def test_flac_that_ends_between_two_frames_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(0).standard_normal(2 * RATE) * 0.1
    soundfile.write(path, noise, RATE)
    whole = path.read_bytes()
    ends = [place for place in range(100, len(whole)) if whole[place : place + 2] == b"\xff\xf8"]
    assert len(ends) > 3
    path.write_bytes(whole[: ends[-1]])
    assert re.search(r"promises 2\.000 s, 1\.\d+ s are there", reason(path))
    head = bytearray(whole)
    head[21:26] = bytes([head[21] & 0xF0, 0, 0, 0, 0])  # a stream whose writer did not know
    path.write_bytes(head)
    assert read_extent(path) is None


def test_flac_with_unknown_bytes_at_its_end_is_decoded_and_found_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(written(path, "FLAC", "PCM_16") + b"unknown")
    extent = read_extent(path)
    assert extent is not None
    assert (extent.whole, extent.there) == (True, SECONDS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_of_any_kind_is_an_audio_error_or_audio(tmp_path: Path, data: st.DataObject) -> None:
    kind, subtype = data.draw(st.sampled_from(FORMATS))
    path = tmp_path / "a.audio"
    whole = bytearray(written(path, kind, subtype))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(whole), 200) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with contextlib.suppress(AudioError):
        assert read_header(path).frames > 0
