"""What each `normalize` does to the features that a head sees, against float64 numpy and against other paths."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from mer.heads import FeatureSource, HeadConfig, HeadError, train_head
from mer.heads.features.speaker_units import SpeakerUnits
from mer.heads.features.step import plan_step
from mer.heads.fusion.build_head import build_head
from mer.heads.training.planned_head import plan_head
from mer.heads.training.stacked_forward import stacked_logits

CacheMaker = Callable[..., Any]
SETTINGS = ("speech", "global", "speaker", "none")
HEADS: dict[str, dict[str, Any]] = {
    "late": {"granularities": ("F", "S")},
    "late of two layers": {"granularities": ("F", "S"), "layers": (1, 3)},
    "linear T": {"modality": "text", "fusion": "linear"},
    "transformer": {"granularities": ("S",), "modality": "speech", "fusion": "transformer"},
    "concatenation": {"granularities": ("F",), "fusion": "concatenation"},
    "coattention": {"granularities": ("F", "S"), "fusion": "coattention"},
}


def config_of(name: str, normalize: str, **options: Any) -> HeadConfig:
    small = {
        "hidden": 4, "attention_heads": 2, "attention_layers": 1, "feed_forward_ratio": 1, "learning_rate": 0.02, "batch": 16,
        "max_epochs": 1, "seeds": (0,), "folds": ("2",), "device": "cpu",
    }  # fmt: skip
    return HeadConfig(**{**small, **HEADS[name], "normalize": normalize, **options})


def shifted(cache: Any) -> Any:
    """Every speaker, granularity, layer and dimension with a mean and a deviation of its own."""
    for number, (name, arrays) in enumerate(cache.units.items()):
        for row, array in enumerate(arrays):
            random = np.random.default_rng([number, sorted(set(cache.utterances.speakers)).index(cache.utterances.speakers[row])])
            moved = array * random.uniform(0.5, 3, array.shape[1:]) + random.normal(0, 2, array.shape[1:])
            arrays[row] = moved.astype(np.float16)
        assert name in "FST"
    return cache


def by_hand(cache: Any, name: str, normalize: str, training: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Units of one granularity as the definition of a setting has them, in float64."""
    units = [array.astype(np.float64) for array in cache.units[name]]
    if normalize == "none" or (name == "T" and normalize != "global"):
        return units
    found = []
    for row, each in enumerate(units):
        speaker = cache.utterances.speakers[row]
        own = [other for other in range(len(units)) if cache.utterances.speakers[other] == speaker]
        together = np.concatenate([units[other] for other in (own if normalize == "speaker" else training.tolist())])
        found.append((each - together.mean(0)) / together.std(0))
    return found


class Arrays:
    """Features that are normalised already."""

    def __init__(self, arrays: list[NDArray[np.float32]]) -> None:
        self.arrays = arrays
        self.lengths = np.array([len(array) for array in arrays])
        self.nbytes = sum(array.nbytes for array in arrays)
        self.layers, self.dim = arrays[0].shape[1:]

    def views(self, rows: Any) -> list[NDArray[np.float32]]:
        return [self.arrays[row] for row in rows]

    def release(self, rows: Any) -> None: ...

    def prefetch(self, rows: Any) -> None: ...


@pytest.mark.parametrize("normalize", SETTINGS)
@pytest.mark.parametrize("name", HEADS)
def test_test_logits_are_those_of_features_that_numpy_has_normalised(
    make_cache: CacheMaker, tmp_path: Path, name: str, normalize: str
) -> None:
    cache, config = shifted(make_cache()), config_of(name, normalize)
    planned = plan_head(cache, config, tmp_path)
    ((fold, _),) = planned.plan
    result = train_head(cache, config, tmp_path)
    weights = load_file(result.directory / "weights" / "fold2-seed0.safetensors")
    kept = {part: weights.pop(part) for part in list(weights) if part.startswith("statistics.")}
    sources, shapes = {}, {}
    for branch in config.branches:
        ready = [each.astype(np.float32) for each in by_hand(cache, branch, normalize, fold.train)]
        chosen = None if config.layers is None else [layer - 1 for layer in config.layers]
        sources[branch] = FeatureSource(Arrays(ready), device=torch.device("cpu"), layers=chosen)
        shapes[branch] = (sources[branch].layers, sources[branch].dim)
    head = build_head(config, shapes, 4, 0, "2")
    head.load_state_dict(weights)
    with torch.inference_mode():
        expected = stacked_logits([head.eval()], [{}], sources, plan_step([fold.test]), None)
    written = load_file(result.directory / "logits.safetensors")["fold2-seed0"]
    torch.testing.assert_close(written.float(), expected, rtol=2e-4, atol=2e-4)
    wanted = {"speech": set(config.branches) - {"T"}, "global": set(config.branches)}.get(normalize, set())
    assert {each.split(".")[1] for each in kept} == wanted
    for branch in wanted:
        units = np.concatenate([cache.units[branch][row] for row in fold.train]).astype(np.float64)
        units = units if config.layers is None else units[:, [layer - 1 for layer in config.layers]]
        np.testing.assert_allclose(kept[f"statistics.{branch}.mean"].numpy(), units.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(kept[f"statistics.{branch}.std"].numpy(), units.std(0), rtol=1e-5)


@pytest.mark.parametrize("streamed", [False, True])
def test_by_speaker_a_run_in_a_stack_is_bit_for_bit_the_run_alone(make_cache: CacheMaker, tmp_path: Path, streamed: bool) -> None:
    config = config_of("late", "speaker", folds=None, seeds=(0, 1), max_epochs=2, stack=6)
    together = train_head(shifted(make_cache()), config, tmp_path / "together")
    memory: dict[str, Any] = {"ram_gib": 1e-6} if streamed else {}
    alone = train_head(shifted(make_cache()), replace(config, stack=1, **memory), tmp_path / "alone")
    files = sorted((together.directory / "weights").iterdir())
    assert len(files) == 6
    for file in files:
        other = load_file(alone.directory / "weights" / file.name)
        assert all(torch.equal(value, other[name]) for name, value in load_file(file).items())


def test_every_setting_has_a_directory_of_its_own_and_global_the_one_it_had_before(
    make_cache: CacheMaker, tmp_path: Path
) -> None:
    names = {plan_head(make_cache(), config_of("late", each), tmp_path).directory.path.name for each in SETTINGS}
    assert len(names) == len(SETTINGS)
    # Written down by mer before `speech` was there: results and exports of then are found, and mean the same.
    assert HeadConfig(normalize="global").fingerprint() == GLOBAL_BEFORE
    assert HeadConfig().normalize == "speech"


GLOBAL_BEFORE = "e7ab976c567475307a3bc02876e06d547a5a82f9a9dce1bc814c8f1a8880bee4"
"""`HeadConfig().fingerprint()` of commit 11be5cb, whose default was `global`."""


def test_a_text_head_has_no_statistics_but_under_global() -> None:
    found = {each: config_of("linear T", each) for each in SETTINGS}
    assert {name: config.standardised for name, config in found.items() if config.standardised} == {"global": ("T",)}
    assert not any(config.by_speaker for config in found.values())


def test_statistics_of_a_speaker_are_taken_when_first_read_and_then_kept(make_cache: CacheMaker) -> None:
    cache = make_cache()
    packed = cache.packed("F")
    units = SpeakerUnits(packed, cache.utterances.speakers, release=True)
    assert packed.viewed == []
    own = [row for row, speaker in enumerate(cache.utterances.speakers) if speaker == "1F"]
    units.views([0])
    assert packed.viewed == [*own, 0]
    assert packed.released == own
    units.views([2])
    assert packed.viewed == [*own, 0, 2]
    assert units.nbytes == 2 * packed.nbytes
    assert {view.dtype for view in units.views([1, 4])} == {np.dtype(np.float32)}


def test_an_utterance_without_speaker_is_refused_by_name(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    cache.utterances.speakers[7] = ""
    with pytest.raises(HeadError, match=r"1 utterances name no speaker, first 'utterance-007'.*extract again, or use"):
        train_head(cache, config_of("late", "speaker"), tmp_path)
    with pytest.raises(HeadError, match="3 speakers are given for 48 utterances"):
        SpeakerUnits(make_cache().packed("F"), ["a", "b", "c"])
