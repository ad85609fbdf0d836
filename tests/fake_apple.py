"""A stand-in for an Apple GPU: tensors that say `mps`, are computed by the CPU, and refuse what such a device refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

APPLE, CPU = torch.device("mps"), torch.device("cpu")
ABOUT = ("_parse_to", "device", "__get__", "__set__")
"""Functions that read what a tensor or device is and compute nothing."""
LACKING = ("embedding_bag",)
"""Operations that not every release of PyTorch has there."""
TAKE_BOTH = ("__getitem__", "__setitem__", "copy_", "to", "type_as", "is_nonzero")
"""Functions that may be given tensors of the device and of the CPU."""


class AppleTensor(Tensor):
    """Says that it is on the device; its numbers are those of a tensor of the CPU."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "AppleTensor":
        """`numbers` are on the CPU."""
        made = Tensor._make_wrapper_subclass(cls, numbers.shape, strides=numbers.stride(), dtype=numbers.dtype, device=APPLE)
        made.numbers = numbers
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"AppleTensor({self.numbers!r})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(function, args, kwargs or {})


class _Apple(TorchFunctionMode):
    """Stands before every function of PyTorch: the one for Linux knows no kernels of the device, and refuses its name."""

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        here = any(_is_apple(each) for each in (*args, *kwargs.values()))
        if name in ABOUT or not (here or _of(AppleTensor, (args, kwargs))):
            return function(*args, **kwargs)
        if name == "_has_compatible_shallow_copy_type":
            return False
        if name in LACKING:
            raise NotImplementedError(f"the operator {name} is not there on mps")
        if name in ("numpy", "__array__"):
            raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() to copy it to host memory first")
        both = [each for each in _of(Tensor, (args, kwargs)) if not isinstance(each, AppleTensor) and each.ndim and each.numel()]
        if both and not here and name not in TAKE_BOTH:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two, mps:0 and cpu")
        leaves = name == "cpu" or (name in ("to", "copy_", "type_as") and not here and _lands_on_cpu(args, kwargs))
        args = tuple(CPU if _is_apple(each) else each for each in args)
        kwargs = {key: CPU if _is_apple(each) else each for key, each in kwargs.items()}
        return function(*_inner(args), **_inner(kwargs)) if leaves else _computed(function, args, kwargs)


def _lands_on_cpu(args: Any, kwargs: Any) -> bool:
    """Whether a conversion ends on the CPU: it names it, or fills or follows a tensor that is there."""
    named = any(isinstance(each, torch.device | str) and torch.device(each) == CPU for each in (*args, *kwargs.values()))
    others = [each for each in args[1:] if isinstance(each, Tensor)]
    first = args[0] if not others else others[0]
    return named or not isinstance(first, AppleTensor)


def _computed(function: Any, args: Any, kwargs: Any) -> Any:
    given = _of(AppleTensor, (args, kwargs))

    def wrapped(found: Tensor) -> Tensor:
        if found.dtype in (torch.float64, torch.complex128):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        return next((each for each in given if each.numbers is found), AppleTensor(found))

    return tree_map_only(Tensor, wrapped, function(*_inner(args), **_inner(kwargs)))


def _of(kind: Any, tree: Any) -> list[Any]:
    found: list[Any] = []
    tree_map_only(kind, found.append, tree)
    return found


def _inner(tree: Any) -> Any:
    return tree_map_only(AppleTensor, lambda each: each.numbers, tree)


def _is_apple(value: Any) -> bool:
    return value.type == "mps" if isinstance(value, torch.device) else isinstance(value, str) and value == "mps"


@contextmanager
def fake_apple() -> Iterator[None]:
    """An Apple GPU is there, as far as PyTorch says."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with pytest.MonkeyPatch.context() as patch, _Apple():
            patch.setattr(torch, "Event", MagicMock())  # everything has happened when it is asked for
            patch.setattr(torch.backends.mps, "is_available", lambda: True)
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
