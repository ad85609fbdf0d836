"""Weights of a folder are read once in a process of tests: hundreds of tests open the same few small encoders."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_read: dict[object, Any] = {}


def read_once(load_weights: Callable[..., Any]) -> Callable[..., Any]:
    """`load_weights` that gives a copy where it has read these very files for such a config before."""

    def load(name: str, revision: str | None, option: str, config: Any, **more: Any) -> Any:
        folder = Path(name)
        if not folder.is_dir():
            return load_weights(name, revision, option, config, **more)
        files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.iterdir())]
        key = (str(folder.absolute()), tuple(files), config.to_json_string(use_diff=False), repr(sorted(more.items(), key=str)))
        if key not in _read:
            _read[key] = load_weights(name, revision, option, config, **more)
        return _copied(_read[key])

    return load


def _copied(model: Any) -> Any:
    from torch.nn.utils import parametrize

    copied = copy.deepcopy(model)
    for module in copied.modules():
        if parametrize.is_parametrized(module):  # its weight is a property of its class, which goes when it is taken off
            kind = type(module)
            module.__class__ = type(kind.__name__, kind.__bases__, dict(kind.__dict__))
    return copied


@pytest.fixture(autouse=True)
def weights_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first test on that finds the encoders' code imported."""
    checkpoint = sys.modules.get("mer.extract.families.checkpoint")
    if checkpoint is not None:
        monkeypatch.setattr(checkpoint, "load_weights", read_once(checkpoint.__dict__["load_weights"]))
