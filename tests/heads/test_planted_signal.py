"""Heads find what was planted, where it was planted, and no head finds what its form cannot hold."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.heads import HeadConfig, train_head

CacheMaker = Callable[..., Any]
CHANCE = 1 / 4
LINEAR = HeadConfig(
    fusion="linear",
    modality="speech",
    granularities=("F",),
    hidden=16,
    learning_rate=0.02,
    normalize="global",
    batch=16,
    max_epochs=8,
    patience=15,
    seeds=(0,),
    folds=("1",),
    device="cpu",
)
LATE = replace(LINEAR, fusion="late", modality="both", learning_rate=0.01)
COATTENTION = replace(LATE, fusion="coattention", attention_heads=2, attention_layers=1, feed_forward_ratio=8, dropout=0.0)


def both_bits_differ(speech: int, text: int) -> int:
    """Each bit of the class is the exclusive or of a bit of speech and one of text.

    Whatever speech says, text alone still makes every class equally likely, and the other way round. The
    cross-entropy of a sum f(speech) + g(text) is convex in f and g and unchanged when a bit is flipped on both
    sides, so that its lowest value is that of equal logits: chance.
    """
    return speech ^ text


def a_bit_each(speech: int, text: int) -> int:
    """One bit of the class is said by speech alone, the other by text alone: a sum of logits tells all of it."""
    return (speech & 2) | (text & 1)


def speech_alone(speech: int, text: int) -> int:
    return speech


def text_alone(speech: int, text: int) -> int:
    return text


def accuracy(values: Mapping[str, Any]) -> float:
    return float(values["summary"]["all"]["ua"]["mean_of_folds"])


def peak(values: Mapping[str, Any], granularity: str) -> int:
    """The layer with the largest share; 0 where it is not 1.75 times the next one."""
    (run,) = values["runs"]
    shares = np.array(run["layer_shares"][granularity])
    second, first = np.sort(shares)[-2:]
    return values["layers"][granularity][int(shares.argmax())] if first > 1.75 * second else 0


@pytest.fixture(scope="module")
def trained(plant_numbers: CacheMaker, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Results of both fusions on one cache, whose labels follow either rule."""
    found = {}
    for rule, epochs in ((both_bits_differ, 12), (a_bit_each, 8)):
        cache = plant_numbers(rule=rule)
        for config in (LATE, COATTENTION):
            chosen = replace(config, max_epochs=epochs)
            result = train_head(cache, chosen, tmp_path_factory.mktemp("runs"))
            found[rule.__name__, config.fusion] = result.values
    return found


Trained = Mapping[tuple[str, str], Mapping[str, Any]]


def test_coattention_beats_late_fusion_where_an_interaction_was_planted(trained: Trained) -> None:
    late, coattention = (accuracy(trained["both_bits_differ", fusion]) for fusion in ("late", "coattention"))
    assert abs(late - CHANCE) < 0.15
    assert coattention > 0.9


def test_coattention_does_not_beat_late_fusion_where_the_signal_is_a_sum(trained: Trained) -> None:
    late, coattention = (accuracy(trained["a_bit_each", fusion]) for fusion in ("late", "coattention"))
    assert late > 0.9
    assert coattention > 0.9
    assert coattention - late < 0.1


@pytest.mark.parametrize(
    ("rule", "fusion"), [("a_bit_each", "late"), ("a_bit_each", "coattention"), ("both_bits_differ", "coattention")]
)
def test_layer_weights_of_speech_and_text_peak_at_the_planted_layer(trained: Trained, rule: str, fusion: str) -> None:
    assert [peak(trained[rule, fusion], granularity) for granularity in "FT"] == [3, 3]


def test_layer_weights_have_no_peak_where_a_head_can_find_nothing(trained: Trained) -> None:
    assert [peak(trained["both_bits_differ", "late"], granularity) for granularity in "FT"] == [0, 0]


@pytest.mark.parametrize(("layer", "layer_weights"), [(1, "plain"), (2, "softmax"), (4, "plain"), (4, "softmax")])
def test_layer_weights_of_a_linear_head_follow_the_signal(
    plant_numbers: CacheMaker, tmp_path: Path, layer: int, layer_weights: str
) -> None:
    cache = plant_numbers(rule=speech_alone, layer=layer, repeats=4, seed=layer)
    values = train_head(cache, replace(LINEAR, layer_weights=layer_weights), tmp_path).values
    assert peak(values, "F") == layer


@pytest.mark.parametrize("planted", "WT")
def test_the_planted_granularity_wins_and_the_others_know_nothing(
    plant_numbers: CacheMaker, tmp_path: Path, planted: str
) -> None:
    """Where a speech granularity is planted, text holds a number too, of which the class does not depend."""
    rule, speech = (text_alone, "F") if planted == "T" else (speech_alone, planted)
    cache = plant_numbers(rule=rule, speech=speech, granularities="FPSWT", repeats=4, seed="FPSWT".index(planted))
    found = {}
    for name in "FPSWT":
        config = replace(LINEAR, modality="text") if name == "T" else replace(LINEAR, granularities=(name,))
        found[name] = accuracy(train_head(cache, config, tmp_path).values)
    others = [ua for name, ua in found.items() if name != planted]
    assert found[planted] > 0.8
    assert max(others) < 0.45


def test_in_late_fusion_of_all_granularities_only_the_planted_one_has_a_peak(plant_numbers: CacheMaker, tmp_path: Path) -> None:
    cache = plant_numbers(rule=speech_alone, speech="S", granularities="FPSWT", repeats=4)
    values = train_head(cache, replace(LATE, granularities=("F", "P", "S", "W"), learning_rate=0.02), tmp_path).values
    assert accuracy(values) > 0.8
    assert {name: peak(values, name) for name in "FPSWT"} == {"F": 0, "P": 0, "S": 3, "W": 0, "T": 0}
