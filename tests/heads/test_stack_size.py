"""How many runs are trained at once follows memory, threads and wishes."""

import weakref
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mer.heads import FeatureSource, HeadConfig
from mer.heads.config import head_config
from mer.heads.features.step import plan_step
from mer.heads.fusion.build_head import build_head
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.training.device_stack import DeviceStack, summed_losses
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


class LiveBytes(TorchDispatchMode):
    """Counts what is allocated on one device and not yet freed."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device, self.now, self.peak = device, 0, 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, torch.Tensor) and each.device == self.device:
                storage = each.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self._known:
                    self._known[key] = weakref.ref(storage, partial(self._freed, key, size))
                    self.now += size
                    self.peak = max(self.peak, self.now)
        return out

    def _freed(self, key: int, size: int, reference: Any) -> None:
        self.now -= size
        del self._known[key]


def one_step(config: HeadConfig, runs: int, path: DevicePath, sources: dict[str, FeatureSource], device: torch.device) -> None:
    """What is alive at the peak of training: a stack, its best weights, and one step of utterances of one length."""
    shapes = {name: (source.layers, source.dim) for name, source in sources.items()}
    with torch.device("meta" if device.type == "meta" else "cpu"):
        head = build_head(config, shapes, 4, 0, "1")
    stack = DeviceStack(head, {}, runs, path, device)
    for run in range(runs):
        stack.enter(head, {}, run)
    best = [{name: each.detach().clone() for name, each in slot.state_dict().items()} for slot in stack.slots]
    rows = np.arange(config.batch)

    def losses(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        truth = torch.zeros(len(logits), dtype=torch.long, device=device)
        each = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
        return summed_losses(each, [config.batch] * runs)

    stack.train_step(sources, plan_step([rows] * runs), losses, 1e-4)
    assert best


def equal_lengths(config: HeadConfig, device: torch.device) -> dict[str, FeatureSource]:
    """Features without values of a base encoder, every utterance as long as nine of ten of IEMOCAP's."""
    from mer.bench.device_cost import ShapesOnly

    found = {}
    for name in config.branches:
        shapes = ShapesOnly(name, config.batch)
        shapes.lengths = np.full(config.batch, {"F": 419, "S": 38, "T": 28}[name])
        found[name] = FeatureSource(shapes, device=device, resident=True)
    return found


@pytest.mark.parametrize(
    ("fusion", "granularities"),
    [
        ("late", "F+T"),
        pytest.param("coattention", "F+T", marks=pytest.mark.slow),
        ("coattention", "S+T"),
        pytest.param("transformer", "F", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=pytest.mark.slow), "tf32"])
def test_the_model_of_bytes_is_what_a_run_more_allocates_on_a_device(fusion: str, granularities: str, precision: str) -> None:
    pytest.importorskip("triton")
    config, meta, peaks = config_of(fusion, granularities), torch.device("meta"), []
    sources, path = equal_lengths(config, meta), DevicePath(kernels=True, precision=precision)
    for runs in (1, 2):
        with LiveBytes(meta) as live:
            one_step(config, runs, path, sources, meta)
        peaks.append(live.peak)
    assert 0.95 < run_bytes(config, sources, 4, path) / (peaks[1] - peaks[0]) < 1.3


@pytest.mark.gpu
def test_the_model_of_bytes_is_what_pytorch_allocates_on_a_gpu() -> None:
    config, cuda = config_of("coattention", "F+T"), torch.device("cuda")
    sources, path = equal_lengths(config, cuda), DevicePath(kernels=True, precision="tf32")
    one_step(config, 1, path, sources, cuda)
    peaks = []
    for runs in (1, 2):
        torch.cuda.reset_peak_memory_stats()
        one_step(config, runs, path, sources, cuda)
        peaks.append(torch.cuda.max_memory_allocated())
    assert 0.9 < run_bytes(config, sources, 4, path) / (peaks[1] - peaks[0]) < 1.3


def config_of(fusion: str, granularities: str) -> HeadConfig:
    fields: dict[str, Any] = {"modality": "speech"} if fusion == "transformer" else {}
    fields |= {} if fusion == "late" else {"attention_layers": 1}
    return head_config(fusion=fusion, granularities=tuple(granularities.split("+")), **fields)
