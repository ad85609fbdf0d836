from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mer.grids.head_jobs import head_jobs, whole_heads
from mer.heads import HeadConfig
from mer.heads.training.planned_head import plan_head

CacheMaker = Callable[..., Any]
TINY = HeadConfig(granularities=("F",), hidden=4, max_epochs=1, learning_rate=0.02, batch=8, seeds=(0, 1), device="cpu")
COATTENTION = replace(TINY, fusion="coattention", attention_heads=2, attention_layers=1, granularities=("S",))


def test_attention_trains_run_by_run_on_a_cpu_and_folds_of_a_seed_stay_together_elsewhere(
    make_cache: CacheMaker, tmp_path: Path
) -> None:
    heads = [plan_head(make_cache(), config, tmp_path) for config in (COATTENTION, TINY)]
    tasks = head_jobs(heads, workers=2)
    assert [task.content.keys for task in tasks if task.content.config == TINY] == [
        (("1", 0), ("2", 0), ("3", 0)),
        (("1", 1), ("2", 1), ("3", 1)),
    ]
    assert sorted(task.content.keys for task in tasks if task.content.config == COATTENTION) == sorted(
        ((fold, seed),) for fold in "123" for seed in (0, 1)
    )
    assert len({task.name for task in tasks}) == len(tasks)
    by_run = {task.content.config.fusion: task.cost / len(task.content.keys) for task in tasks}
    assert by_run["coattention"] > by_run["late"] > 0
    costs = [task.cost for task in tasks]
    assert costs == sorted(costs, reverse=True)
    whole = whole_heads(heads)
    assert [(task.content.config, len(task.content.keys)) for task in whole] == [(COATTENTION, 6), (TINY, 6)]
    assert sum(task.cost for task in whole) == pytest.approx(sum(costs))


def test_on_a_gpu_seeds_are_bundled_as_far_as_memory_and_workers_go(
    make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(COATTENTION, device="cuda", seeds=tuple(range(12)))
    head = plan_head(make_cache(), config, tmp_path)
    assert [len(task.content.keys) for task in head_jobs([head], workers=1)] == [9, 9, 9, 9]
    assert [len(task.content.keys) for task in head_jobs([head], workers=3)] == [3] * 12
    monkeypatch.setattr("mer.grids.head_jobs.GPU_BYTES", 0)
    assert [len(task.content.keys) for task in head_jobs([head], workers=1)] == [3] * 12
