import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mer.heads import HeadConfig, HeadError, train_head, train_multi_level
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, SEAL

LATE = HeadConfig(granularities=("S",), hidden=8, max_epochs=2, batch=8, seeds=(0, 1))
COATTENTION = replace(LATE, granularities=("F",), fusion="coattention", attention_heads=2, learning_rate=None)
CacheMaker = Callable[..., Any]


def test_logits_of_both_heads_are_averaged_run_by_run(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    both = train_multi_level(cache, COATTENTION, LATE, tmp_path)
    early, late = train_head(cache, COATTENTION, tmp_path), train_head(cache, LATE, tmp_path)
    assert early.reused
    assert late.reused
    assert both.values["parts"] == [early.directory.name, late.directory.name]
    assert both.values["branches"] == ["F", "S", "T"]
    found, first, second = (load_file(each.directory / "logits.safetensors") for each in (both, early, late))
    assert sorted(found) == sorted(f"fold{fold}-seed{seed}" for fold in "123" for seed in (0, 1))
    for name, logits in found.items():
        np.testing.assert_allclose(logits, (first[name] + second[name]) / 2, rtol=1e-12)
    with (both.directory / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["fold"], row["seed"]) == ("2", "1")]
    logits = found["fold2-seed1"]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shown = [[float(row[name]) for name in ("angry", "happy", "sad", "neutral")] for row in rows]
    np.testing.assert_allclose(shown, probabilities, atol=1e-6)
    assert not np.allclose(first["fold2-seed1"], second["fold2-seed1"])


def test_a_second_call_trains_nothing(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    once = train_multi_level(cache, COATTENTION, LATE, tmp_path)
    again = train_multi_level(cache, COATTENTION, LATE, tmp_path)
    assert again.reused
    assert again.values == once.values


def test_the_same_targets_under_other_names_are_another_result(make_cache: CacheMaker, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    found = []
    for name in ("angry", "cross"):
        own.write_text(f'drop = ["*"]\n[classes]\nang = "{name}"\nhap = "happy"\n')
        early, late = (replace(each, classes=str(own), seeds=(0,), max_epochs=1) for each in (COATTENTION, LATE))
        found.append(train_multi_level(make_cache(), early, late, tmp_path / "runs"))
    assert not found[1].reused
    assert [each.values["summary"]["classes"] for each in found] == [["angry", "happy"], ["cross", "happy"]]


def test_heads_of_two_protocols_are_refused_with_every_difference(make_cache: CacheMaker, tmp_path: Path) -> None:
    other = replace(LATE, seeds=(0,), validation="session")
    with pytest.raises(HeadError, match=r"seeds differs: \(0, 1\) and \(0,\); validation differs: random and session"):
        train_multi_level(make_cache(), COATTENTION, other, tmp_path)
    with pytest.raises(HeadError, match="expected a coattention and a late head, got late and late"):
        train_multi_level(make_cache(), LATE, LATE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_logits_that_do_not_belong_to_the_predictions_are_refused(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    late = train_head(cache, LATE, tmp_path)
    file = late.directory / "predictions.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-3]) + "\n")
    with pytest.raises(ResultError, match=r"predictions.csv: damaged or not its own: expected sha256 \w{12}, found \w{12}; copy"):
        train_multi_level(cache, COATTENTION, LATE, tmp_path)
    # As it was before there were hashes.
    values = {name: value for name, value in late.values.items() if name not in (FILES, SEAL)}
    (late.directory / "result.json").write_text(json.dumps(values))
    with pytest.raises(ResultError, match=r"logits.safetensors and predictions.csv differ for fold 3, seed 1"):
        train_multi_level(cache, COATTENTION, LATE, tmp_path)


def test_a_flipped_bit_in_the_logits_of_a_part_is_refused(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    file = train_head(cache, LATE, tmp_path).directory / "logits.safetensors"
    image = file.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(image), 40, replace=False):
        damaged = bytearray(image)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(ResultError, match=r"logits.safetensors: damaged or not its own"):
            train_multi_level(cache, COATTENTION, LATE, tmp_path)
