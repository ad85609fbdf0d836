import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mer.cache import open_cache
from mer.corpus import open_corpus
from mer.extract import (
    ExtractConfig,
    ExtractError,
    Extraction,
    ExtractionProgress,
    Resources,
    SpeechEncoder,
    TextEncoder,
    extract,
    read_wave,
)
from mer.status.doctor import sound_checks

MakeManifest = Callable[..., Path]
ONE = Resources(device="cpu", workers=1)


def shard_bytes(result: Extraction) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((result.folder / "shards").glob("*.h5"))}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Extraction loads and runs on one thread; bits of what it is compared with depend on the number of threads too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_what_is_in_the_cache_is_what_the_live_encoders_give(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(6))
    result = extract(corpus, config, tmp_path / "features", resources=ONE)
    assert (result.utterances, result.failed, result.shards) == (6, (), 3)
    cache = open_cache(result.folder)
    speech, text = SpeechEncoder(config.speech_model), TextEncoder(config.text_model)
    for utterance in corpus:
        frames = speech([speech.prepare(read_wave(utterance.wav, 16_000).samples)])[0].numpy()
        np.testing.assert_array_equal(cache.read(utterance.id, "F"), frames.astype(np.float16))
        wordpieces = text(text.tokenize(["Happy alone noon!"]))[0].numpy()
        np.testing.assert_allclose(cache.read(utterance.id, "T").astype(np.float32), wordpieces, rtol=2**-10, atol=1e-5)
        assert utterance.alignment is not None
        alignment = utterance.alignment.read()
        for granularity, tier in (("P", alignment.phones), ("S", alignment.syllables), ("W", alignment.words)):
            assert cache.labels(utterance.id, granularity) == tuple(s.label for s in tier)
            np.testing.assert_array_equal(
                cache.spans(utterance.id, granularity), [(s.start_ms / 1000, s.end_ms / 1000) for s in tier]
            )
            for row, segment in zip(cache.read(utterance.id, granularity), tier, strict=True):
                # Zhao 2022, section 2.1: mean over the frames whose centre, 20 f + 12.5 ms, is in the segment
                inside = [f for f in range(len(frames)) if segment.start_ms <= 20 * f + 12.5 < segment.end_ms]
                expected = sum(frames[f].astype(np.float64) for f in inside) / len(inside)
                np.testing.assert_allclose(row.astype(np.float64), expected, rtol=2**-10, atol=1e-5)


def test_batches_give_what_single_utterances_give(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = open_corpus(make_manifest(12))
    exact = dataclasses.replace(config, dtype="float64", storage="float32")
    single = open_cache(extract(corpus, exact, tmp_path / "single", resources=ONE).folder)
    many = Resources(device="cpu", workers=1, batch_seconds=5.0, batch_tokens=30)
    batched = open_cache(extract(corpus, exact, tmp_path / "batched", resources=many).folder)
    for utterance in corpus:
        for granularity in "FPSWT":
            np.testing.assert_allclose(
                batched.read(utterance.id, granularity), single.read(utterance.id, granularity), rtol=1e-6, atol=1e-6
            )


def test_the_same_command_again_makes_nothing(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = open_corpus(make_manifest(6))
    first = extract(corpus, config, tmp_path / "features", resources=ONE)
    times = {path: path.stat().st_mtime_ns for path in first.folder.glob("shards/*")}
    second = extract(corpus, config, tmp_path / "features", resources=ONE)
    assert (first.shards_made, second.shards_made) == (3, 0)
    assert second.utterances == 6
    assert second.alignments == {"textgrid": 6}
    assert {path: path.stat().st_mtime_ns for path in first.folder.glob("shards/*")} == times


def test_a_session_at_a_time_ends_in_the_same_bytes(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    manifest = make_manifest(9)
    whole = extract(open_corpus(manifest), config, tmp_path / "whole", resources=ONE)
    parts = whole
    for session in "213":
        parts = extract(open_corpus(manifest, sessions=[session]), config, tmp_path / "parts", resources=ONE)
    assert shard_bytes(parts) == shard_bytes(whole)


def test_a_changed_transcript_makes_its_shard_anew(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    manifest = make_manifest(6)
    extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows[0]["text"] = "Noon."
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    assert again.shards_made == 1
    assert len(open_cache(again.folder).read("utt000", "T")) < len(open_cache(again.folder).read("utt003", "T"))


def test_other_settings_are_another_cache(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = open_corpus(make_manifest(3))
    variants = [
        config,
        dataclasses.replace(config, layers=(3, 12)),
        dataclasses.replace(config, granularities=("P", "W")),
        dataclasses.replace(config, text_tags="keep"),
        dataclasses.replace(config, fillers="drop"),
        dataclasses.replace(config, storage="float32"),
        dataclasses.replace(config, dtype="bfloat16"),
    ]
    keys = {extract(corpus, variant, tmp_path / "features", resources=ONE).key for variant in variants}
    assert len(keys) == len(variants)


def break_wav(path: Path, kind: str) -> None:
    match kind:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("this is no audio")
        case "nan":
            soundfile.write(path, np.full(9_000, np.nan, np.float32), 16_000, subtype="FLOAT")
        case "short":
            soundfile.write(path, np.ones(399) / 2, 16_000, subtype="PCM_16")
        case "truncated":
            path.write_bytes(path.read_bytes()[:-4_000])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no audio file there"),
        ("empty", "not readable as audio"),
        ("text", "not readable as audio"),
        ("nan", "9000 samples are NaN"),
        ("short", "399 samples at 16000 Hz; the encoder needs at least 400"),
        ("truncated", "ends early: its header promises 0.840 s, 0.715 s are there (missing: the last 4,000 bytes)"),
    ],
)
def test_one_bad_wav_is_recorded_and_the_rest_goes_on(
    kind: str, reason: str, make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    manifest = make_manifest(6)
    break_wav(manifest.parent / "utt002.wav", kind)
    result = None
    for _ in range(2):  # a second run finds the same, and does not try again
        result = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
        assert result.utterances == 5
        assert [failed.id for failed in result.failed] == ["utt002"]
        assert reason in result.failed[0].reason
        assert "utt002.wav" in result.failed[0].reason
    assert result is not None
    assert result.shards_made == 0
    soundfile.write(manifest.parent / "utt002.wav", np.random.default_rng(1).normal(size=25_600) / 9, 16_000)
    repaired = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    assert (repaired.shards_made, repaired.utterances, repaired.failed) == (1, 6, ())


def test_a_wrong_rate_two_channels_and_silence_are_counted(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    manifest = make_manifest(6)
    noise = np.random.default_rng(1).normal(size=(80_000, 2)) / 9
    soundfile.write(manifest.parent / "utt001.wav", noise[:, 0], 44_100)
    soundfile.write(manifest.parent / "utt004.wav", noise, 44_100)
    for silent in ("utt000", "utt003"):
        soundfile.write(manifest.parent / f"{silent}.wav", np.zeros(25_600), 16_000)
    result = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    assert result.utterances == 6
    assert result.conversions == {"resampled from 44100 Hz": 2, "downmixed from 2 channels": 1}
    assert result.odd_sounds == {"silence (nothing above -80 dB of full scale)": ["utt000", "utt003"]}
    again = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    assert (again.shards_made, again.odd_sounds) == (0, result.odd_sounds)
    checks = sound_checks(list(open_corpus(manifest)))
    assert [each.status for each in checks] == ["note", "note"]
    assert checks[0].found.startswith("listened to 6 of 6 recordings (all;")
    assert checks[1].found == "silence (nothing above -80 dB of full scale): 2: utt000, utt003"


def test_hours_of_audio_for_one_utterance_are_named(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    manifest = make_manifest(3)
    soundfile.write(manifest.parent / "utt001.flac", np.zeros(8_000 * 4_000, dtype=np.int16), 8_000)
    manifest.write_text(manifest.read_text().replace("utt001.wav", "utt001.flac"))
    result = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    assert "utt001.flac: 1.1 hours for one utterance; cut it into utterances" in result.failed[0].reason


def test_an_alignment_that_ends_after_the_audio_fails_its_utterance(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    manifest = make_manifest(3)
    soundfile.write(manifest.parent / "utt001.wav", np.random.default_rng(1).normal(size=4_000) / 9, 16_000)
    result = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    assert [failed.id for failed in result.failed] == ["utt001"]
    assert "its audio at 250 ms" in result.failed[0].reason


def test_no_alignment_is_one_segment_over_the_utterance_and_counted(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    manifest = make_manifest(3)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    del rows[1]["textgrid"]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = extract(open_corpus(manifest), config, tmp_path / "features", resources=ONE)
    assert result.alignments == {"textgrid": 2, "none": 1}
    cache = open_cache(result.folder)
    whole = cache.read("utt001", "F").astype(np.float64).mean(axis=0)
    for granularity in "PSW":
        assert cache.read("utt001", granularity).shape[0] == 1
        np.testing.assert_allclose(cache.read("utt001", granularity)[0], whole, rtol=2**-9, atol=2e-3)


def test_activations_beyond_float16_are_refused_unless_stored_in_float32(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = SpeechEncoder.__call__

    def huge(self: SpeechEncoder, waves: list[np.ndarray]) -> list[torch.Tensor]:
        states = [state.clone() for state in forward(self, waves)]
        states[0][0, 3, 5] = 70_000.0
        return states

    monkeypatch.setattr(SpeechEncoder, "__call__", huge)
    corpus = open_corpus(make_manifest(3))
    result = extract(corpus, config, tmp_path / "features", resources=ONE)
    assert result.utterances == 0
    assert "1 of" in result.failed[0].reason
    assert "--storage float32 keeps them" in result.failed[0].reason
    wide = extract(corpus, dataclasses.replace(config, storage="float32"), tmp_path / "features", resources=ONE)
    assert float(open_cache(wide.folder).read("utt000", "F").max()) == 70_000.0


def test_a_disk_too_small_is_noticed_before_the_first_forward_pass(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> object:
        return type("Usage", (), {"free": 100_000})()

    monkeypatch.setattr("mer.extract.run.shutil.disk_usage", full)
    monkeypatch.setattr(SpeechEncoder, "__call__", lambda *_: pytest.fail("the encoder ran"))
    with pytest.raises(ExtractError, match=r"GB will be written, the disk has 0\.0 GB free.*--granularity P\+S\+W\+T"):
        extract(open_corpus(make_manifest(6)), config, tmp_path / "features", resources=ONE)


def test_progress_ends_at_the_totals(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    seen: list[ExtractionProgress] = []
    extract(open_corpus(make_manifest(6)), config, tmp_path / "features", resources=ONE, on_progress=seen.append)
    last = seen[-1]
    assert last.utterances == last.utterances_total == 6
    assert last.seconds == pytest.approx(last.seconds_total)
    assert last.bytes == sum(path.stat().st_size for path in tmp_path.glob("features/**/*.h5"))


def test_nothing_to_extract_is_an_error(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = dataclasses.replace(open_corpus(make_manifest(3)), utterances=())
    with pytest.raises(ExtractError, match="corpus 'small' has no utterances with these labels"):
        extract(corpus, config, tmp_path / "features", resources=ONE)


@pytest.mark.slow
def test_processes_end_in_the_same_bytes(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = open_corpus(make_manifest(18))
    here = extract(corpus, config, tmp_path / "here", resources=ONE)
    both = Resources(device="cpu", workers=2)
    there = extract(corpus, config, tmp_path / "there", resources=both)
    assert shard_bytes(here) == shard_bytes(there)
