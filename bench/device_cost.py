"""What one training step of a stack costs on a GPU: kernels, bytes and FLOPs, counted without one.

The device path trains for one epoch on tensors that have shapes and no values (PyTorch's `meta` device), under a dispatch
mode that sees every operation below autograd: forward, backward, optimiser and transfers. Kernels of `mer` itself tell what
they read and write. Whatever would wait for the device raises there, so that the count is also the proof that nothing does.

* A view or an empty tensor costs nothing. Another operation is one kernel, or as many as PyTorch makes of it (`KERNELS_OF`).
* An operation reads what it is given and writes what it gives: a broadcast value once, of a table only the rows that it takes.
* FLOPs are those of matrix products, as PyTorch counts them.
* Model time: 6 us of the host per kernel, and what planning a step takes on this machine, as the thread that plans ahead takes
  turns with the one that launches; or for each kernel its bytes at 3.35 TB/s or its products at the rate of their precision,
  whichever is longer; of the two sums the larger. A row is 25 runs x 125 steps x 40 epochs, validation left out.

The floor is features read twice for each step that needs them, weights, gradients and moments each read and written once by
the optimiser, and all matrix products.

    python bench/device_cost.py --head late:F+S+T --runs 25 --json
    python bench/device_cost.py --head coattention:F+S+T --runs 5 --precision bfloat16
"""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mer.bench.train_features import CLASSES, DIM, LAYERS, lengths_like_iemocap, make_jobs
from mer.bench.train_floor import work_of
from mer.heads import FeatureSource, StackTrainer
from mer.heads.config import HeadConfig, head_config
from mer.heads.features.reads import Reads
from mer.heads.features.step import Step, plan_step
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.launch import listening
from mer.heads.training.batches import ordered_batches
from mer.heads.training.trainer import TrainingStopped

BANDWIDTH, LAUNCH = 3.35e12, 6e-6
"""Bytes per second of an H100's memory, and seconds of the host per kernel."""
PRODUCTS = {"float32": 67e12, "tf32": 400e12, "bfloat16": 600e12}
"""FLOP/s of an H100's matrix products."""
ROW_RUNS, ROW_STEPS = 25, 125 * 40
"""A row of a table of the paper."""
UTTERANCES = 5531
FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "_unsafe_view", "_reshape_alias"}
ONLY_WRITTEN = {"copy_", "fill_", "zero_", "random_"}
ROWS_TAKEN = {"index", "index_select", "gather", "embedding", "index_copy_", "index_add_"}
"""What is read of the first argument is as much as is written."""
KERNELS_OF = {"native_layer_norm_backward": 2, "nll_loss_backward": 2}
"""Operations of several kernels: gradients of rows and of gain and bias; a cleared gradient and its filling."""
MULTI_TENSOR = (30, 320, 65536)
"""Tensors and blocks that one kernel of PyTorch's fused Adam takes, and the values of a block."""


@dataclass
class Cost:
    """What was counted."""

    kernels: int = 0
    bytes: float = 0.0
    flops: float = 0.0
    seconds: float = 0.0
    """Of the device."""
    names: Counter[str] = field(default_factory=Counter)
    """Kernels by name."""
    moved: Counter[str] = field(default_factory=Counter)
    """Bytes by name."""


class CostMode(TorchDispatchMode):
    """Counts what PyTorch launches."""

    def __init__(self, rate: float) -> None:
        """Nothing is counted yet; `rate` is in FLOP/s of products."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.cost, self._rate = Cost(), rate

    def add(self, name: str, kernels: int, moved: float, flops: float) -> None:
        """Count kernels that move so many bytes together."""
        cost = self.cost
        cost.kernels, cost.bytes, cost.flops = cost.kernels + kernels, cost.bytes + moved, cost.flops + flops
        cost.seconds += max(moved / BANDWIDTH, flops / self._rate)
        cost.names[name] += kernels
        cost.moved[name] += int(moved)

    def forget(self) -> None:
        """What came before, setting up, is no part of a step."""
        self.cost = Cost()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operation and do it."""
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        made = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        if func.is_view or name in FREE or not any(each.is_meta for each in (*given, *made)):
            return out
        if name == "_fused_adam_":
            self.add(name, _multi_tensor_kernels(args[0]), 7 * sum(map(_bytes, args[0])), 0.0)
            return out
        written = made or [each for each in given[:1] if func._schema.is_mutable]
        wrote = sum(map(_bytes, written))
        if name in ROWS_TAKEN:
            read = wrote + sum(map(_bytes, given[1:]))
        else:
            read = sum(map(_bytes, given[1:] if name in ONLY_WRITTEN else _unless_out(given, kwargs)))
        flops = (
            flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
            if func._overloadpacket in flop_registry
            else 0
        )
        self.add(name, KERNELS_OF.get(name, 1), read + wrote, flops)
        return out


def _unless_out(given: Sequence[Tensor], kwargs: Any) -> list[Tensor]:
    out = (kwargs or {}).get("out")
    return [each for each in given if each is not out]


def _bytes(tensor: Tensor) -> int:
    """Values that are there; an expanded dimension holds one."""
    shape = [size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size == 0]
    return math.prod(shape) * tensor.element_size()


def _multi_tensor_kernels(tensors: Sequence[Tensor]) -> int:
    most, blocks, size = MULTI_TENSOR
    return max(math.ceil(len(tensors) / most), math.ceil(sum(math.ceil(each.numel() / size) for each in tensors) / blocks))


class ShapesOnly:
    """Features of IEMOCAP's lengths without values."""

    def __init__(self, granularity: str, utterances: int) -> None:
        self.lengths, self.layers, self.dim = lengths_like_iemocap(utterances, granularity), LAYERS, DIM
        self.nbytes = int(self.lengths.sum()) * LAYERS * DIM * 2

    def views(self, rows: Sequence[int]) -> Sequence[NDArray[Any]]:
        """One zero, as often as it is looked at."""
        zero = np.zeros(1, dtype=np.float16)
        return [np.broadcast_to(zero, (int(self.lengths[row]), LAYERS, DIM)) for row in rows]

    def release(self, rows: Sequence[int]) -> None:
        """Nothing to release."""

    def prefetch(self, rows: Sequence[int]) -> None:
        """Nothing to read ahead."""


class CountedSource(FeatureSource):
    """Features that say when training begins and which steps it made, and end it at the first validation."""

    steps: list[Step]
    begin: Callable[[], None]

    def reads(self, step: Step) -> Reads:
        """See `FeatureSource.reads`."""
        if torch.is_inference_mode_enabled():
            raise TrainingStopped
        if not self.steps:
            self.begin()
        self.steps.append(step)
        return super().reads(step)


def count(config: HeadConfig, runs: int, utterances: int, rate: float, *, kernels: bool = True) -> tuple[Cost, list[Step]]:
    """One epoch of training of a stack, and its steps."""
    device = torch.device("meta")
    sources = {name: CountedSource(ShapesOnly(name, utterances), device=device, resident=True) for name in config.branches}
    targets = np.arange(utterances) % CLASSES
    path = DevicePath(kernels=kernels, precision=config.precision or "tf32")
    trainer = StackTrainer(sources, targets, CLASSES, config, device, path=path)
    mode = CostMode(rate)
    for source in sources.values():
        source.steps, source.begin = [], lambda: None
    next(iter(sources.values())).begin = mode.forget
    with mode, listening(lambda each: mode.add(each.name, 1, each.bytes, each.flops)):
        trainer.train(make_jobs(runs, utterances), stack=runs)
    return mode.cost, next(iter(sources.values())).steps


def planning_seconds(config: HeadConfig, runs: int, utterances: int, steps: int = 24) -> float:
    """CPU-seconds of the host for planning one step of a stack: who shares what, and the tables of the kernels."""
    jobs = make_jobs(runs, utterances)
    keys, train = [(job.seed, 1) for job in jobs], [job.fold.train for job in jobs]
    groups, ranks, batches = ordered_batches(keys, train, utterances, config.batch)
    device = torch.device("meta")
    sources = [FeatureSource(ShapesOnly(name, utterances), device=device, resident=True) for name in config.branches]
    found = []
    for number in range(min(steps, *(len(each) for each in batches))):
        start = time.thread_time()
        step = plan_step([each[number] for each in batches], groups, ranks)
        for source in sources:
            source.prepare(step, tables=True)
        found.append(time.thread_time() - start)
    return float(np.median(found))


def report_of(config: HeadConfig, runs: int, utterances: int, *, kernels: bool = True) -> dict[str, Any]:
    """Every figure of one head."""
    precision = config.precision or "tf32"
    rate = PRODUCTS[precision]
    cost, steps = count(config, runs, utterances, rate, kernels=kernels)
    run_steps = sum(len(step.rows) for step in steps)
    lengths = {name: lengths_like_iemocap(utterances, name) for name in config.branches}
    work = work_of(config, lengths, [(step, True) for step in steps])
    planning = planning_seconds(config, runs, utterances)
    host, device = (cost.kernels * LAUNCH + planning * len(steps)) / run_steps, cost.seconds / run_steps
    return {
        "head": f"{config.fusion}:{'+'.join(config.branches)}",
        "runs": runs,
        "steps": len(steps),
        "precision": precision,
        "planning_ms_per_step": round(1000 * planning, 2),
        "kernels_per_step": round(cost.kernels / len(steps), 1),
        "gb_per_run_step": round(cost.bytes / run_steps / 1e9, 3),
        "gflop_per_run_step": round(cost.flops / run_steps / 1e9, 1),
        "model_seconds_per_row": round(max(host, device) * ROW_RUNS * ROW_STEPS, 1),
        "floor_gb_per_run_step": round(work.bytes / run_steps / 1e9, 3),
        "floor_gflop_per_run_step": round(work.flops / run_steps / 1e9, 1),
        "floor_seconds_per_row": round(max(work.bytes / BANDWIDTH, work.flops / rate) / run_steps * ROW_RUNS * ROW_STEPS, 1),
        "most_kernels": {name: round(number / len(steps), 1) for name, number in cost.names.most_common(12)},
        "most_gb": {name: round(moved / run_steps / 1e9, 3) for name, moved in cost.moved.most_common(12)},
    }


def show(report: dict[str, Any]) -> None:
    """One table, and what costs most."""
    table = Table("per run and step", "counted", "floor", title=f"{report['head']}, {report['runs']} runs, {report['precision']}")
    table.add_row("kernels of the whole stack", f"{report['kernels_per_step']:,}", "")
    table.add_row("ms of planning, whole stack", f"{report['planning_ms_per_step']}", "")
    table.add_row("GB moved", f"{report['gb_per_run_step']}", f"{report['floor_gb_per_run_step']}")
    table.add_row("GFLOP", f"{report['gflop_per_run_step']}", f"{report['floor_gflop_per_run_step']}")
    table.add_row("seconds of a row on an H100", f"{report['model_seconds_per_row']}", f"{report['floor_seconds_per_row']}")
    console = Console()
    console.print(table)
    for title in ("most_kernels", "most_gb"):
        console.print(f"{title.replace('_', ' ')}: {', '.join(f'{name} {number}' for name, number in report[title].items())}")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", default="late:F+S+T", help="fusion and granularities, T for text: late:F+S+T")
    parser.add_argument("--runs", type=int, default=25, help="runs of the stack: the five folds of as many seeds as it takes")
    parser.add_argument("--utterances", type=int, default=UTTERANCES, help="of the corpus")
    parser.add_argument("--precision", choices=sorted(PRODUCTS), default="tf32", help="of products")
    parser.add_argument("--plain", action="store_true", help="as where Triton is not installed")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    fusion, _, names = options.head.partition(":")
    single = {"modality": "speech"} if fusion in {"linear", "transformer"} and "T" not in names else {}
    config = head_config(
        fusion=fusion, granularities=tuple((names or "F+S+T").split("+")), max_epochs=1, precision=options.precision, **single
    )
    report = report_of(config, options.runs, options.utterances, kernels=not options.plain)
    print(json.dumps(report)) if options.json else show(report)


if __name__ == "__main__":
    main()
