"""A step is given to the device and not waited for: losses are read together, when a line of progress is due."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mer.finetune import waiting_steps
from mer.finetune.config import FinetuneConfig
from mer.finetune.events import Event, StepDone
from mer.finetune.losses import Sums
from mer.finetune.optimizer import Optimizer
from mer.finetune.step import Stepper
from mer.finetune.waiting_steps import StepFound, WaitingSteps
from mer.tests.finetune import small_run as small

NarrowConfig = Callable[..., FinetuneConfig]


class Reads(TorchDispatchMode):
    """Counts floating-point numbers that are taken out of tensors: losses, norms, weights."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.count += args[0].is_floating_point()
        return func(*args, **(kwargs or {}))


@contextmanager
def counted(reads: Reads, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """`tolist`, `numpy` and `cpu` do not go through the dispatcher."""
    with patch.context() as inside, reads:
        for name in ("tolist", "numpy", "cpu"):
            own: Any = getattr(torch.Tensor, name)

            def counting(self: torch.Tensor, *given: Any, own: Any = own, **named: Any) -> Any:
                reads.count += self.is_floating_point()
                return own(self, *given, **named)

            inside.setattr(torch.Tensor, name, counting)
        yield


def test_the_count_sees_every_way_to_read_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, number = Reads(), torch.tensor([2.5])
    with counted(reads, monkeypatch):
        _ = number.item(), float(number), bool(number), number.tolist(), number.cpu(), number.numpy()
    assert reads.count == 6


def test_steps_read_no_number_and_the_losses_of_several_are_read_together(
    narrow_config: NarrowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = narrow_config(**small.SETTINGS | {"checkpoint_minutes": 60.0, "workers": 0, "epochs": 1})
    each: list[Event] = []
    small.train(replace(config, checkpoint_minutes=0.0), tmp_path / "corpus", tmp_path / "each", each.append)
    monkeypatch.setattr(waiting_steps, "READ_SECONDS", 1e9)
    reads, read = Reads(), list[int]()
    for kind, name in ((Stepper, "take"), (Optimizer, "step")):
        own: Any = getattr(kind, name)

        def watched(*given: Any, own: Any = own) -> Any:
            with counted(reads, monkeypatch):
                return own(*given)

        monkeypatch.setattr(kind, name, watched)
    take = WaitingSteps.read

    def noted(self: WaitingSteps) -> Any:
        found = take(self)
        read.extend([len(found)] if found else [])
        return found

    monkeypatch.setattr(WaitingSteps, "read", noted)
    together: list[Event] = []
    small.train(config, tmp_path / "corpus", tmp_path / "together", together.append)
    assert reads.count == 0
    assert read == [1, 2]  # the first at once, so that something is told; the others when the epoch ends
    steps = [[event for event in events if isinstance(event, StepDone)] for events in (each, together)]
    assert [(step.step, step.loss, step.gradient_norm, step.rate_factor) for step in steps[0]] == [
        (step.step, step.loss, step.gradient_norm, step.rate_factor) for step in steps[1]
    ]


def test_several_processes_read_at_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_steps, "READ_SECONDS", 0.0)
    together, by_time = WaitingSteps(every=3), WaitingSteps(every=None)
    due = []
    for step in range(1, 5):
        for waiting in (together, by_time):
            waiting.add(step, StepFound(values=torch.full((4,), float(step), dtype=torch.float64), counts=Sums()), 1.0, 2.0)
        due.append((together.due, by_time.due))
        if together.due:
            assert [(each.step, each.sums.main, each.norm) for each in together.read()] == [(n, n, n) for n in (1, 2, 3)]
    assert due == [(False, True), (False, True), (True, True), (False, True)]
    assert len(together) == 1
