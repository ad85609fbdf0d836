import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.extract import AudioError, read_header, read_wave


def tone(seconds: float, rate: int, pitch: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_a_wav_at_the_right_rate_comes_as_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5, 16_000), 16_000, subtype="PCM_16")
    wave = read_wave(tmp_path / "a.wav", 16_000)
    assert wave.samples.dtype == np.float32
    np.testing.assert_allclose(wave.samples, tone(0.5, 16_000), atol=2**-15)
    assert wave.conversions() == ()
    assert read_header(tmp_path / "a.wav").seconds == 0.5


def test_another_rate_is_resampled_and_said(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0, 44_100), 44_100, subtype="PCM_24")
    wave = read_wave(tmp_path / "a.wav", 16_000)
    assert wave.conversions() == ("resampled from 44100 Hz",)
    assert len(wave.samples) == 16_000
    np.testing.assert_allclose(wave.samples[800:-800], tone(1.0, 16_000)[800:-800], atol=1e-3)


def test_channels_are_averaged_and_said(tmp_path: Path) -> None:
    left, right = tone(0.2, 16_000), tone(0.2, 16_000, 300)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    wave = read_wave(tmp_path / "a.wav", 16_000)
    assert wave.conversions() == ("downmixed from 2 channels",)
    np.testing.assert_allclose(wave.samples, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_other_formats_are_read(name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, tone(0.5, 16_000), 16_000)
    assert abs(len(read_wave(tmp_path / name, 16_000).samples) - 8_000) < 2_000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav: no audio file there"):
        read_wave(tmp_path / "gone.wav", 16_000)


@pytest.mark.parametrize("content", [b"", b"no audio at all", b"RIFF\x04\x00\x00\x00WAVE"])
def test_what_is_no_audio_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.wav: (not readable as audio|holds no samples)"):
        read_wave(tmp_path / "a.wav", 16_000)


def test_no_samples_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    with pytest.raises(AudioError, match=r"a\.wav: holds no samples"):
        read_wave(tmp_path / "a.wav", 16_000)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    samples = tone(0.1, 16_000)
    samples[7] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: 1 samples are NaN or infinite"):
        read_wave(tmp_path / "a.wav", 16_000)


def test_a_wav_that_ends_early_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0, 16_000), 16_000, subtype="PCM_16")
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[:-10_000])
    with pytest.raises(AudioError, match=r"a\.wav: ends early: its header promises 1.000 s, 0.688 s are there .*10,000 bytes"):
        read_wave(tmp_path / "a.wav", 16_000)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_header_that_was_never_completed_is_no_reason_to_refuse(size: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5, 16_000), 16_000, subtype="PCM_16")
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    place = whole.index(b"data") + 4
    whole[place : place + 4] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(bytes(whole))
    if size:
        assert len(read_wave(tmp_path / "a.wav", 16_000).samples) == 8_000
    else:
        with pytest.raises(AudioError, match="no samples"):
            read_wave(tmp_path / "a.wav", 16_000)


def test_a_codec_with_a_dangerous_decoder_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5, 16_000), 16_000, subtype="IMA_ADPCM")
    with pytest.raises(AudioError, match="codec IMA_ADPCM is not read; convert it"):
        read_wave(tmp_path / "a.wav", 16_000)


def test_a_name_that_no_file_system_takes_is_an_error_of_that_recording(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"cannot be looked at \(File name too long\)"):
        read_header(tmp_path / ("x" * 300 + ".wav"))
