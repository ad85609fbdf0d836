"""What kernels read and write under Triton's interpreter, beside what they say that they do."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.heads.stacked.device.launch import Launch, listening

Addresses = NDArray[np.int64]
NONE = np.empty(0, dtype=np.int64)
MOST_COLUMNS, MOST_RUNS = 8, 4
"""Of a table of numbers, and of a test."""


@dataclass
class TouchedBytes:
    """Compares every launch, once it has ended, with the addresses that its programs loaded from and stored to."""

    problems: list[str] = field(default_factory=list)
    """What was said and is not so."""
    kernels: set[str] = field(default_factory=set)
    """Names of those that were compared."""
    _launch: Launch | None = None
    _loaded: list[tuple[Addresses, int]] = field(default_factory=list)
    _stored: list[tuple[Addresses, int]] = field(default_factory=list)

    def begin(self, launch: Launch) -> None:
        """The one before has ended."""
        self.end()
        self._launch = None if launch.writes[0].is_meta else launch

    def note(self, addresses: Addresses, size: int, *, stored: bool) -> None:
        """Values of so many bytes were loaded or stored."""
        (self._stored if stored else self._loaded).append((addresses, size))

    def end(self) -> None:
        """Compare what was noted."""
        if self._launch is not None:
            self.kernels.add(self._launch.name)
            stored = [each for each, _ in self._stored]
            written = np.concatenate([NONE, *stored])
            if len(np.unique(written)) < len(written):
                self.problems.append(f"{self._launch.name} stores to an address twice: the order of programs would decide")
            rest, loaded = (
                self._compare("reads", self._loaded, self._launch.reads),
                sum(size * len(each) for each, size in self._loaded),
            )
            # Runs that go through the corpus in another order read an utterance again.
            if not rest <= self._launch.more_bytes <= (loaded if rest else 0):
                self.problems.append(
                    f"{self._launch.name} reads {rest} bytes of tensors that it does not name, and says {self._launch.more_bytes}"
                )
            if rest := self._compare("writes", self._stored, self._launch.writes):
                self.problems.append(f"{self._launch.name} writes {rest} bytes of tensors that it does not name")
        self._launch = None
        self._loaded, self._stored = [], []

    def _compare(self, what: str, touched: Sequence[tuple[Addresses, int]], tensors: Sequence[Tensor]) -> int:
        """Look at each tensor that is named; gives the bytes that belong to none."""
        sizes = {size for _, size in touched}
        left = {size: np.unique(np.concatenate([each for each, own in touched if own == size])) for size in sizes}
        whole = dict(left)
        for tensor in tensors:
            size, own = tensor.element_size(), addresses_of(tensor)
            hit = np.isin(own, whole.get(size, NONE))
            if not _enough(tensor, hit):
                self.problems.append(
                    f"{self._name} {what} {hit.sum()} values of a tensor {tuple(tensor.shape)} in {tensor.dtype}, "
                    f"and says {tensor.numel()}"
                )
            left[size] = np.setdiff1d(left.get(size, NONE), own)
        return sum(size * len(each) for size, each in left.items())

    @property
    def _name(self) -> str:
        return "" if self._launch is None else self._launch.name


def _enough(tensor: Tensor, hit: NDArray[np.bool_]) -> bool:
    """Whether the values that were touched are the whole tensor, but for what a kernel has no use for."""
    if tensor.dtype == torch.int32 and tensor.ndim == 2 and tensor.shape[1] <= MOST_COLUMNS:
        # Columns of a table of numbers.
        if hit.reshape(tensor.shape).all(0).sum() * 2 >= tensor.shape[1]:
            return True
    if hit.all() or not 1 < len(tensor) <= MOST_RUNS:
        return bool(hit.all()) and hit.size > 0
    # What one run has that takes no part in the step.
    per_run = hit.reshape(len(tensor), -1)
    return bool((per_run.all(1) | ~per_run.any(1)).all() and per_run.any(1).sum() >= len(tensor) - 1)


def addresses_of(tensor: Tensor) -> Addresses:
    """Of every value, in the order of the tensor."""
    places = np.zeros(1, dtype=np.int64)
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        places = (places[:, None] + stride * np.arange(length)).ravel()
    return tensor.data_ptr() + tensor.element_size() * places


@contextmanager
def watched_kernels() -> Iterator[TouchedBytes]:
    """Watch every kernel that starts."""
    from triton.runtime.interpreter import InterpreterBuilder

    found = TouchedBytes()
    with pytest.MonkeyPatch.context() as patch, listening(found.begin):
        patch.setattr(InterpreterBuilder, "create_masked_load", _noting(InterpreterBuilder.create_masked_load, found, 2))
        patch.setattr(InterpreterBuilder, "create_masked_store", _noting(InterpreterBuilder.create_masked_store, found, 3))
        yield found
        found.end()


def _noting(method: Callable[..., Any], found: TouchedBytes, mask_at: int) -> Callable[..., Any]:
    def noting(*arguments: Any) -> Any:
        addresses, mask = arguments[1], arguments[mask_at]
        size = addresses.get_element_ty().primitive_bitwidth // 8
        found.note(addresses.data[mask.data.astype(bool)].astype(np.int64).ravel(), size, stored=mask_at == 3)
        return method(*arguments)

    return noting
