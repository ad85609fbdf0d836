"""How many runs are trained at once follows memory, threads and wishes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from mer.heads import FeatureSource, HeadConfig
from mer.heads.training.stack_size import run_bytes, stack_size

CPU = torch.device("cpu")
LATE = HeadConfig(granularities=("F",), hidden=8)
TRANSFORMER = HeadConfig(granularities=("F",), modality="speech", fusion="transformer", hidden=8, attention_heads=2)


def size(cache: Any, config: HeadConfig, jobs: int = 25) -> int:
    return stack_size(config, sources_of(cache, config), 4, jobs, CPU)


def sources_of(cache: Any, config: HeadConfig) -> dict[str, FeatureSource]:
    return {name: FeatureSource(cache.packed(name), device=CPU) for name in config.branches}


def test_all_runs_of_a_late_head_that_fits(make_cache: Callable[..., Any]) -> None:
    assert size(make_cache(), LATE) == 25
    assert size(make_cache(), LATE, jobs=3) == 3
    assert size(make_cache(), LATE, jobs=0) == 1


def test_attention_heads_on_a_cpu_one_per_thread(make_cache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert size(make_cache(), TRANSFORMER) == 3
    assert size(make_cache(), TRANSFORMER, jobs=2) == 2


def test_a_wish_is_followed_up_to_the_number_of_runs(make_cache: Callable[..., Any]) -> None:
    for base in (LATE, TRANSFORMER):
        fields = base.as_dict() | {"stack": 7, "granularities": base.granularities}
        wished = HeadConfig(**{**fields, "seeds": base.seeds})  # type: ignore[arg-type]
        assert size(make_cache(), wished) == 7
        assert size(make_cache(), wished, jobs=5) == 5


def test_half_of_the_free_memory_is_filled(make_cache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make_cache()
    each = run_bytes(LATE, sources_of(cache, LATE), 4)
    for runs in (4.2, 0.3):
        free = SimpleNamespace(available=2 * runs * each)
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: free)
        assert size(cache, LATE) == max(1, int(runs))
