"""m4a, aac, mp4 and webm are read through the extra `media`; without it, the message names it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mer.extract import AudioError, read_header, read_wave

av = pytest.importorskip("av")
RATE = 48_000
TONE = (0.4 * np.sin(2 * np.pi * 440 / RATE * np.arange(2 * RATE))).astype(np.float32)
KINDS = {
    ".m4a": ("ipod", "aac"),
    ".AAC": ("adts", "aac"),
    ".mp4": ("mp4", "aac"),
    ".webm": ("webm", "libopus"),
}


def written(path: Path, kind: str, channels: int = 1) -> Path:
    container_format, codec = KINDS[kind]
    options = {"movflags": "faststart"} if container_format in ("ipod", "mp4") else {}
    with av.open(str(path), "w", format=container_format, options=options) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono" if channels == 1 else "stereo")
        samples = np.tile((TONE * 32_767).astype(np.int16)[:, None], (1, channels)).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=stream.layout)
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_phones_recording_is_read(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"a{kind}", kind, channels=2)
    header, wave = read_header(path), read_wave(path, 16_000)
    assert (header.sample_rate, header.channels) == (RATE, 2)
    assert header.seconds == pytest.approx(2, abs=0.1)
    assert len(wave.samples) == pytest.approx(32_000, abs=1_600)
    assert wave.conversions() == ("downmixed from 2 channels", "resampled from 48000 Hz")
    spectrum = np.abs(np.fft.rfft(wave.samples[4_000:20_000]))
    assert spectrum.argmax() == 440
    assert np.sqrt(np.mean(wave.samples[4_000:20_000] ** 2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_cut_short_is_refused_or_shorter_by_what_is_missing(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"a{kind}", kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    if kind == ".AAC":  # a bare stream promises nothing
        assert read_header(path).seconds < 1.5
        return
    with pytest.raises(AudioError, match=r"a\.\w+: (ends early|not readable as audio|does not decode)"):
        read_wave(path, 16_000)


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    with pytest.raises(AudioError, match=r"a\.m4a: (not readable as audio|holds no)"):
        read_header(path)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"a\.m4a: \.m4a is read with the extra `media`.*mer-fusion\[media\]"):
        read_header(path)
