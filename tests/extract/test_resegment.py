import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mer.extract.run
from mer.cache import open_cache, verify
from mer.corpus import Corpus, open_corpus
from mer.corpus.textgrid_file import write_textgrid
from mer.corpus.textgrid_folder import with_textgrids
from mer.extract import ExtractConfig, ExtractError, Resources, extract, resegment

MakeManifest = Callable[..., Path]
ONE = Resources(workers=1)


@pytest.fixture
def extracted(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> tuple[Corpus, Path]:
    corpus = open_corpus(make_manifest(count=6))
    extract(corpus, config, tmp_path / "features", resources=ONE)
    return corpus, tmp_path / "features"


def shifted(corpus: Corpus, folder: Path, by: int = 30) -> Corpus:
    """The corpus with TextGrids whose units end later, and one utterance without."""
    folder.mkdir()
    for utterance in corpus.utterances[1:]:
        assert utterance.alignment is not None
        times = utterance.alignment.read()
        tiers = {
            tier: tuple(dataclasses.replace(s, start_ms=s.start_ms + by, end_ms=s.end_ms + by) for s in getattr(times, tier))
            for tier in ("phones", "syllables", "words")
        }
        write_textgrid(folder / f"{utterance.id}.TextGrid", dataclasses.replace(times, **tiers), 9.0)
    return with_textgrids(corpus, folder)


def no_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError("an encoder was loaded")

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", refuse)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", refuse)
    monkeypatch.setattr(mer.extract.run, "load_encoders", refuse)


def test_segments_are_the_encoders_own_to_the_rounding_of_stored_frames(
    extracted: tuple[Corpus, Path], config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, root = extracted
    moved = shifted(corpus, tmp_path / "grids")
    config = dataclasses.replace(config, alignment="textgrid")
    whole = open_cache(extract(moved, config, tmp_path / "whole", resources=ONE).folder)
    with monkeypatch.context() as patch:
        no_encoders(patch)
        result = resegment(moved, config, root)
    again = open_cache(result.folder)
    assert result.alignments == {"textgrid": 5, "none": 1}
    assert (result.utterances, result.failed) == (6, ())
    assert again.utterances.alignments == whole.utterances.alignments
    for name in whole.utterances.ids:
        for granularity in "FT":
            np.testing.assert_array_equal(again.read(name, granularity), whole.read(name, granularity))
        for granularity in "PSW":
            np.testing.assert_array_equal(again.spans(name, granularity), whole.spans(name, granularity))
            assert again.labels(name, granularity) == whole.labels(name, granularity)
            ours, theirs = again.read(name, granularity), whole.read(name, granularity)
            # float16 rounds by at most 2^-11 of a value; here the frames' largest and the mean itself are rounded
            largest = np.abs(whole.read(name, "F")).max()
            np.testing.assert_allclose(ours.astype("f8"), theirs.astype("f8"), rtol=2**-10, atol=2**-10 * largest)
    assert not np.array_equal(
        again.read(whole.utterances.ids[1], "P"), open_source(root, again.key).read(whole.utterances.ids[1], "P")
    )
    assert not verify(again.folder, full=True).findings


def open_source(root: Path, other_key: str) -> Any:
    folders = [spec.parent for spec in root.glob("*/*/spec.json") if spec.parent.name != other_key[:12]]
    assert len(folders) == 1
    return open_cache(folders[0])


def test_its_cache_is_another_one_and_says_so(extracted: tuple[Corpus, Path], config: ExtractConfig, tmp_path: Path) -> None:
    corpus, root = extracted
    result = resegment(corpus, config, root)  # nothing changed but where the averages come from
    again, before = open_cache(result.folder), open_source(root, result.key)
    assert again.key != before.key
    assert again.spec["segments"] == before.spec["segments"] | {"frames": "as stored"}
    sidecar = json.loads(next(result.folder.glob("shards/*.json")).read_text())
    assert sidecar["provenance"]["resegmented_from"] == before.key
    assert resegment(corpus, config, root).shards_made == 0


def test_changed_times_redo_their_segments(extracted: tuple[Corpus, Path], config: ExtractConfig, tmp_path: Path) -> None:
    corpus, root = extracted
    config = dataclasses.replace(config, alignment="textgrid", granularities=("P", "W"))
    first = resegment(shifted(corpus, tmp_path / "one"), config, root)
    spans = open_cache(first.folder).spans(corpus.utterances[1].id, "W").copy()
    second = resegment(shifted(corpus, tmp_path / "two", by=10), config, root)
    assert second.folder == first.folder
    assert open_cache(second.folder).granularities == ("P", "W")
    np.testing.assert_allclose(open_cache(second.folder).spans(corpus.utterances[1].id, "W"), spans - 0.02, atol=1e-9)


def test_the_alignment_is_part_of_a_caches_identity(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = open_corpus(make_manifest(count=1))
    keys = {
        extract(corpus, dataclasses.replace(config, alignment=alignment), tmp_path / "features", resources=ONE).key
        for alignment in ("corpus", "textgrid", "pocketsphinx")
    }
    assert len(keys) == 3


def test_other_audio_or_text_is_refused(extracted: tuple[Corpus, Path], config: ExtractConfig, tmp_path: Path) -> None:
    corpus, root = extracted
    one, *rest = corpus.utterances
    text = dataclasses.replace(corpus, utterances=(dataclasses.replace(one, text="Other words"), *rest))
    with pytest.raises(ExtractError, match=f"'{one.id}': audio or text is not what the frames"):
        resegment(text, config, root)
    without_text = dataclasses.replace(config, granularities=("P",))
    assert resegment(text, without_text, root).utterances == 6
    sound = bytearray(one.wav.read_bytes())
    sound[-1] ^= 1  # of the same length
    one.wav.write_bytes(bytes(sound))
    with pytest.raises(ExtractError, match=f"'{one.id}': audio or text is not what the frames"):
        resegment(corpus, without_text, root)


def test_frames_must_be_there(
    extracted: tuple[Corpus, Path], config: ExtractConfig, make_manifest: MakeManifest, tmp_path: Path
) -> None:
    corpus, root = extracted
    with pytest.raises(ExtractError, match="no cache of these encoders and settings with frames"):
        resegment(corpus, dataclasses.replace(config, storage="float32"), root)
    with pytest.raises(ExtractError, match=r"no cache .* with frames"):
        resegment(corpus, config, tmp_path / "nowhere")
    with pytest.raises(ExtractError, match="makes P, S and W"):
        resegment(corpus, dataclasses.replace(config, granularities=("F", "T")), root)
    more = open_corpus(make_manifest(count=7, folder="more"))
    with pytest.raises(ExtractError, match="no frames of 'utt006'"):
        resegment(more, config, root)


def test_what_failed_before_stays_failed_with_its_reason(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(count=3))
    corpus.utterances[0].wav.write_bytes(b"no audio")
    before = extract(corpus, config, tmp_path / "features", resources=ONE)
    result = resegment(corpus, config, tmp_path / "features")
    assert [f.reason for f in result.failed] == [f.reason for f in before.failed]
    assert result.utterances == 2
