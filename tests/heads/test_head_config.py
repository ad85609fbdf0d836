import json
from dataclasses import replace
from typing import Any

import pytest

from mer.heads import HeadConfig, HeadError


def test_text_is_the_last_branch() -> None:
    assert HeadConfig(granularities=("S", "F")).branches == ("F", "S", "T")
    assert HeadConfig(granularities=("S",), modality="speech").branches == ("S",)
    assert HeadConfig(modality="text", fusion="linear").branches == ("T",)


def test_the_defaults_are_those_of_the_paper() -> None:
    config = HeadConfig()
    assert (config.learning_rate, config.batch, config.dropout, config.validation) == (1e-3, 32, 0.2, "random")
    assert len(config.seeds) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"granularities": ("F", "Q")}, r"unknown granularity Q, expected some of F\+P\+S\+W"),
        ({"granularities": ("T",)}, "granularity T is text: ask for it with modality"),
        ({"granularities": ("F", "F")}, r"granularity given twice in F\+F"),
        ({"granularities": (), "modality": "speech"}, "modality 'speech' needs a granularity"),
        ({"fusion": "linear"}, r"fusion 'linear' is one branch, got F\+S\+T"),
        ({"hidden": 0}, r"hidden must lie in \[1, 65536\], got 0"),
        ({"patience": 0}, "patience must be 1 or more"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"validation_share": 0.0}, "validation_share must lie between 0 and 1"),
        ({"ram_gib": 0.0}, "ram must be positive"),
        ({"seeds": ()}, r"seeds must be different numbers, 0 or more, got \[\]"),
        ({"seeds": (1, 1)}, "seeds must be different"),
        ({"folds": ()}, "folds must be different names, at least one"),
        ({"classes": "7"}, "unknown classes '7': expected one of 4, 4-noexc, 5, 6, as-is"),
        ({"device": "tpu"}, "unknown device 'tpu', expected auto, cpu or cuda"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadError, match=message):
        HeadConfig(**changes)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(HeadError, match=r"hidden must lie.*; .*dropout must lie"):
        HeadConfig(hidden=-1, dropout=2.0)


def test_the_fingerprint_changes_with_the_numbers_and_only_with_them() -> None:
    config = HeadConfig()
    assert config.fingerprint() == HeadConfig(granularities=("S", "F")).fingerprint()
    assert config.fingerprint() == replace(config, device="cpu", ram_gib=2.0).fingerprint()
    text = HeadConfig(modality="text", granularities=("F",))
    assert text.fingerprint() == HeadConfig(modality="text", granularities=("W",)).fingerprint()
    changed: list[dict[str, Any]] = [
        {"granularities": ("F",)},
        {"hidden": 64},
        {"patience": 5},
        {"seeds": (0, 1)},
        {"folds": ("1",)},
        {"normalize": "none"},
        {"validation": "session"},
        {"classes": "6"},
    ]
    prints = {replace(config, **changes).fingerprint() for changes in changed}
    assert len(prints | {config.fingerprint()}) == len(changed) + 1


def test_a_config_is_json() -> None:
    assert json.loads(json.dumps(HeadConfig().as_dict()))["granularities"] == ["F", "S"]
