from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mer.heads import HeadConfig, HeadError, train_head
from mer.heads.training.planned_head import plan_head

CONFIG = HeadConfig(granularities=("F",), modality="speech", fusion="linear", hidden=8, max_epochs=1, seeds=(0, 1), device="cpu")


def test_the_given_parts_are_trained_on_validated_and_tested(make_cache: Callable[..., Any], tmp_path: Path) -> None:
    cache = make_cache()
    plain = plan_head(cache, CONFIG, tmp_path)
    parts = ["train"] * 24 + ["dev"] * 8 + ["test1", "test2"] * 8
    cache.utterances.more = [{"split": part, "columns": {"mic": str(row % 2)}} for row, part in enumerate(parts)]
    assert plan_head(cache, replace(CONFIG, leave_out="session"), tmp_path).directory.path == plain.directory.path
    result = train_head(cache, CONFIG, tmp_path)
    assert (result.values["summary"]["folds"], result.values["leave_out"]) == (["test1", "test2"], "given")
    assert "the corpus' own split is used, train 24, dev 8, test1 8, test2 8" in result.values["notes"][0]
    head = plan_head(cache, CONFIG, tmp_path)
    assert head.directory.path == result.directory != plain.directory.path
    assert {tuple(fold.train.tolist()) for fold, _ in head.plan} == {tuple(range(24))}
    assert {tuple(fold.validation.tolist()) for fold, _ in head.plan} == {tuple(range(24, 32))}

    by_mic = plan_head(cache, replace(CONFIG, leave_out="mic", validation="session"), tmp_path)
    assert [fold.test_session for fold, _ in by_mic.plan] == ["0", "0", "1", "1"]
    cache.utterances.speakers = [f"s{row % 6}" for row in range(48)]
    with pytest.raises(HeadError, match=r"normalize speaker: s0, s2, s4 speaks in the test and the training part of fold test1"):
        plan_head(cache, replace(CONFIG, normalize="speaker"), tmp_path)
    folds = plan_head(cache, replace(CONFIG, leave_out="speaker", fold_count=3, normalize="speaker"), tmp_path)
    assert [fold.test_session for fold, _ in folds.plan] == ["1", "1", "2", "2", "3", "3"]


def test_a_rare_class_is_named_and_can_be_left_out(make_cache: Callable[..., Any], tmp_path: Path) -> None:
    cache = make_cache()
    cache.utterances.labels = [
        "hap" if label == "sad" and session != "2" else label
        for label, session in zip(cache.utterances.labels, cache.utterances.sessions, strict=True)
    ]
    values = train_head(cache, CONFIG, tmp_path).values
    assert values["missing_classes"] == {"2": ["sad"]}
    assert "no training utterance of class sad in fold 2" in values["notes"][-1]
    for changes in ({"drop_class": ("sad",)}, {"min_per_class": 5}):
        head = plan_head(cache, replace(CONFIG, **changes), tmp_path)
        assert (head.classes.classes, head.selection.left_out, head.planned.notes) == (
            ("angry", "happy", "neutral"),
            {"sad": 4},
            (),
        )
