"""Caches of versions that kept the last layer, or batches, as they came."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from mer.cache import FeatureCache, OutdatedCacheError, check_numbers, doubt, open_cache, verify
from mer.cache.last_layer import ends_in_norm, flattest_direction
from mer.corpus import Corpus
from mer.corpus.manifest import read_manifest
from mer.extract import ExtractConfig, Extraction, Resources, extract, resegment
from mer.heads import HeadConfig, train_head

HERE = Resources(device="cpu", workers=1)
Earlier = Callable[..., Extraction]


def without_norm(family: Any, model: Any) -> Any:
    if model.config.do_stable_layer_norm:
        model.encoder.layer_norm = nn.Identity()
    return model


@pytest.fixture
def corpus(make_manifest: Callable[..., Path]) -> Corpus:
    return read_manifest(make_manifest(count=6))


@pytest.fixture
def config_of(config: ExtractConfig, speech_encoder_folder: Callable[[str], Path]) -> Callable[..., ExtractConfig]:
    return lambda kind, **changes: dataclasses.replace(config, speech_model=str(speech_encoder_folder(kind)), **changes)


@pytest.fixture
def earlier(corpus: Corpus, tmp_path: Path) -> Earlier:
    """Extract as an earlier version did, under some version of transformers."""

    def make(config: ExtractConfig, transformers: str = "5.23.0") -> Extraction:
        from mer.backends.agreement import versions

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mer.extract.families.wav2vec2.Wav2Vec2.closing_norm", False)
            patch.setattr("mer.extract.workers.encoder_notes", lambda encoders, cache: {})
            patch.setattr("mer.extract.identity.versions", lambda *names: versions(*names) | {"transformers": transformers})
            if transformers >= "5.16":
                patch.setattr("mer.extract.families.wav2vec2.Wav2Vec2.bare", without_norm)
            return extract(corpus, config, tmp_path / "features", resources=HERE)

    return make


def test_extraction_begins_anew_beside_an_earlier_cache_and_says_why(
    earlier: Earlier, corpus: Corpus, config_of: Callable[..., ExtractConfig], tmp_path: Path
) -> None:
    config = config_of("wavlm-layer-norm")
    old = earlier(config)
    said: list[str] = []
    new = extract(corpus, config, tmp_path / "features", resources=HERE, on_notice=said.append)
    assert new.key != old.key
    assert new.shards_made == 3
    assert len(said) == 1
    assert f"{old.folder} has these encoders and settings, and is not gone on with: its last layer is as" in said[0]
    assert str(new.folder) in said[0]
    before, after, name = open_cache(old.folder), open_cache(new.folder), corpus.utterances[0].id
    assert np.array_equal(before.read(name, "F")[:, :-1], after.read(name, "F")[:, :-1])
    assert not np.allclose(before.read(name, "F")[:, -1], after.read(name, "F")[:, -1], rtol=0.1)
    said.clear()
    assert extract(corpus, config, tmp_path / "features", resources=HERE, on_notice=said.append).shards_made == 0
    assert said == []


@pytest.mark.parametrize("change", [{}, {"layers": tuple(range(1, 12))}])
def test_earlier_caches_without_a_closing_norm_in_them_are_gone_on_with(
    change: dict[str, Any], earlier: Earlier, corpus: Corpus, config_of: Callable[..., ExtractConfig], tmp_path: Path
) -> None:
    config = config_of("wavlm-layer-norm" if change else "wavlm", **change)
    old = earlier(config)
    new = extract(corpus, config, tmp_path / "features", resources=HERE)
    assert (new.key, new.shards_made) == (old.key, 0)


def head(**settings: Any) -> HeadConfig:
    return HeadConfig(
        fusion="late",
        granularities=("F", "S"),
        modality="speech",
        classes="as-is",
        folds=("1",),
        seeds=(0,),
        max_epochs=1,
        **settings,
    )


def test_an_earlier_last_layer_without_its_norm_is_fed_to_no_head(
    earlier: Earlier, config_of: Callable[..., ExtractConfig], tmp_path: Path
) -> None:
    old = open_cache(earlier(config_of("hubert-layer-norm")).folder)
    with pytest.raises(
        OutdatedCacheError, match=r"layer 12 of small.* was stored without .*\(this cache: 5\.23\.0; .*extract` again"
    ):
        train_head(old, head(), tmp_path / "runs")
    train_head(old, head(layers=(9, 10, 11)), tmp_path / "runs")
    findings = verify(old.folder, full=True).findings
    assert [finding.shard for finding in findings] == ["spec.json"]
    assert "without the encoder's closing norm" in findings[0].problem
    assert doubt(old) is None


@pytest.mark.parametrize(
    ("kind", "transformers"), [("wav2vec2-layer-norm", "5.14.1"), ("wav2vec2", "5.23.0"), ("wav2vec2", "odd")]
)
def test_earlier_caches_that_are_right_stay_of_use(
    kind: str, transformers: str, earlier: Earlier, config_of: Callable[..., ExtractConfig], tmp_path: Path
) -> None:
    old = open_cache(earlier(config_of(kind), transformers).folder)
    assert doubt(old) is None
    train_head(old, head(), tmp_path / "runs")
    assert verify(old.folder, full=True).ok


def test_an_earlier_cache_that_is_too_small_to_judge_says_so(earlier: Earlier, config_of: Callable[..., ExtractConfig]) -> None:
    old = open_cache(earlier(config_of("wav2vec2-layer-norm", granularities=("W",))).folder)
    note = doubt(old)
    assert note is not None
    assert "may lack the encoder's closing norm" in note


def test_a_shard_of_this_version_vouches_for_the_earlier_ones(
    earlier: Earlier, corpus: Corpus, config_of: Callable[..., ExtractConfig], tmp_path: Path
) -> None:
    config = config_of("wav2vec2-layer-norm", layers=(10, 11))
    old = earlier(config)
    with pytest.raises(OutdatedCacheError, match="If 11 is not the encoder's last layer"):
        check_numbers(open_cache(old.folder), "F")
    next((old.folder / "shards").glob("*.json")).unlink()
    extract(corpus, config, tmp_path / "features", resources=HERE)
    assert check_numbers(open_cache(old.folder), "F") is None


def test_segments_are_not_made_anew_from_frames_of_an_earlier_last_layer(
    earlier: Earlier, corpus: Corpus, config_of: Callable[..., ExtractConfig], tmp_path: Path
) -> None:
    config = config_of("wav2vec2-layer-norm")
    earlier(config)
    with pytest.raises(OutdatedCacheError, match="without the encoder's closing norm"):
        resegment(corpus, dataclasses.replace(config, fillers="drop"), tmp_path / "features")
    new = extract(corpus, config, tmp_path / "features", resources=HERE)
    made = resegment(corpus, dataclasses.replace(config, fillers="drop"), tmp_path / "features")
    assert open_cache(made.folder).provenances[0]["resegmented_from"] == new.key
    assert open_cache(made.folder).spec["speech"]["last_layer"] == "with the closing norm"


def planted(tmp_path: Path, **text: Any) -> FeatureCache:
    from mer.cache import CacheFolder, Units, UtteranceRecord, build_shard

    spec = {
        "format_version": 1,
        "corpus": {"name": "planted"},
        "granularities": ["T"],
        "layers": {"text": [1, 2]},
        "dim": {"text": 3},
        "storage": {"dtype": "float16"},
        "text": {"model": "some/model", **text},
    }
    folder = CacheFolder.create(tmp_path, spec)
    names = ("id", "label", "speaker", "session", "dialogue", "style", "text", "alignment", "fingerprint")
    record = UtteranceRecord(**dict.fromkeys(names, "1"), seconds=1.0)
    units = {"T": Units(data=np.ones((4, 2, 3), np.float16), span=None, labels=None)}
    folder.commit("session1-000", build_shard(folder.spec, [(record, units)], []), {})
    return FeatureCache(folder)


@pytest.mark.parametrize("kind", ["fnet", "convbert", "mobilebert", "nystromformer", "yoso"])
def test_wordpieces_that_depend_on_their_batch_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OutdatedCacheError, match=rf"its T come from some/model, a {kind} encoder, in padded batches"):
        check_numbers(planted(tmp_path, type=kind), "T")


@pytest.mark.parametrize("text", [{"type": "fnet", "batches": "one by one"}, {"type": "bert"}, {}])
def test_other_wordpieces_are_not(text: dict[str, str], tmp_path: Path) -> None:
    assert check_numbers(planted(tmp_path, **text), "T") is None


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_the_output_of_a_norm_has_one_direction_that_only_rounding_moves(storage: str) -> None:
    """Of h = g x + b with sum(x) = 0 it is 1 / g, here computed by hand; averages of units share it."""
    random = np.random.default_rng(2)
    states = random.normal(size=(600, 40)) @ random.normal(size=(40, 40))
    gains, biases = random.uniform(0.3, 2, 40), random.normal(size=40)
    centred = states - states.mean(1, keepdims=True)
    normed = gains * centred / np.sqrt((centred**2).mean(1, keepdims=True)) + biases
    averages = normed.reshape(200, 3, 40).mean(1)
    rounding = {"float16": 2.0**-11, "float32": 2.0**-23}[storage]
    for each in (normed, averages):
        stored = each.astype(storage)
        flattest, direction = flattest_direction(stored, rounding)
        assert flattest < 2
        expected = np.sqrt((stored.astype(np.float64) ** 2).mean(0)) / gains
        assert abs(direction @ expected) / np.linalg.norm(expected) > 0.99
    assert flattest_direction(states.astype(storage), rounding)[0] > 100


def test_values_that_do_not_tell_are_no_answer(earlier: Earlier, config_of: Callable[..., ExtractConfig]) -> None:
    assert ends_in_norm(open_cache(earlier(config_of("wav2vec2", granularities=("W",))).folder)) is None
