"""Recordings of several encoders: decoded once, to the numbers that each encoder has alone."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import Utterance, audio, open_corpus
from mer.corpus.audio import Wave, read_recording
from mer.extract.decoded_once import decoded_once

STEREO_FLAC = ("utt001", "utt002")
Decoded = Counter[str]


@pytest.fixture
def corpus(make_manifest: Callable[..., Path]) -> Path:
    """Three utterances, two of them as FLAC at 44.1 kHz in stereo."""
    manifest = make_manifest(3)
    for name in STEREO_FLAC:
        wav = manifest.parent / f"{name}.wav"
        samples = soxr.resample(soundfile.read(wav)[0], 16_000, 44_100)
        soundfile.write(wav.with_suffix(".flac"), np.stack([samples, 0.5 * samples], axis=1), 44_100)
        wav.unlink()
        manifest.write_text(manifest.read_text().replace(f"{name}.wav", f"{name}.flac"))
    return manifest


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """How often each recording was decoded, by name."""
    counts: Decoded = Counter()
    true_reader = audio.read_wave

    def counting(path: Path, *arguments: object) -> Wave:
        counts[path.name] += 1
        return true_reader(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(audio, "read_wave", counting)
    return counts


def test_two_encoders_decode_what_has_to_be_decoded_once_and_have_the_bytes_that_they_have_alone(
    corpus: Path, decoded: Decoded, family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    def extract(cache: str, *models: str) -> dict[str, bytes]:
        words = ["extract", "--corpus", str(corpus), "--granularity", "F+P", "--workers", "1", "--quiet", "--cache"]
        words += [str(tmp_path / cache), *(word for model in models for word in ("--speech-model", model))]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return {str(file.relative_to(tmp_path / cache)): file.read_bytes() for file in (tmp_path / cache).rglob("*.h5")}

    models = [f"a={family_folder('wav2vec2')}", f"b={family_folder('hubert')}"]
    together = extract("together", *models)
    assert decoded == {"utt000.wav": 2, "utt001.flac": 1, "utt002.flac": 1}
    assert not [each for each in (tmp_path / "together").rglob("*") if "decoded" in each.name]
    decoded.clear()
    alone = extract("alone", models[0].removeprefix("a=")) | extract("alone", models[1].removeprefix("b="))
    assert decoded == {"utt000.wav": 2, "utt001.flac": 2, "utt002.flac": 2}
    assert together == alone


def test_what_is_kept_is_the_wave_with_all_that_is_said_of_it_and_nothing_damaged_is_read(
    corpus: Path, decoded: Decoded, tmp_path: Path
) -> None:
    utterance = next(each for each in open_corpus(corpus) if each.id in STEREO_FLAC)
    true = read_recording(utterance, 16_000)
    with decoded_once(tmp_path / "features" / "small", 2, left_free=0) as waves:
        assert waves is not None
        decoded.clear()
        for count in (1, 1):
            same(waves(utterance, 16_000), true)
            assert sum(decoded.values()) == count
        (kept,) = waves.folder.iterdir()
        content = bytearray(kept.read_bytes())
        content[-1] ^= 1
        kept.write_bytes(content)
        same(waves(utterance, 16_000), true)
        assert sum(decoded.values()) == 2
        assert len(waves(utterance, 8_000).samples) < len(true.samples)
    assert not list((tmp_path / "features" / "small").iterdir())


def test_nothing_is_kept_for_one_encoder_or_where_caches_need_the_disk(corpus: Path, decoded: Decoded, tmp_path: Path) -> None:
    utterance: Utterance = next(each for each in open_corpus(corpus) if each.id in STEREO_FLAC)
    with decoded_once(tmp_path, 1, left_free=0) as waves:
        assert waves is None
    with decoded_once(tmp_path, 2, left_free=1 << 62) as waves:
        assert waves is not None
        decoded.clear()
        same(waves(utterance, 16_000), waves(utterance, 16_000))
        assert not list(waves.folder.iterdir())
    assert sum(decoded.values()) == 2


def same(one: Wave, other: Wave) -> None:
    np.testing.assert_array_equal(one.samples, other.samples)
    assert one.samples.flags.writeable
    assert (one.conversions(), one.odd) == (other.conversions(), other.odd)
