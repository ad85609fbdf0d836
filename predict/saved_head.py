"""A trained head on disk, in the run directory that `mer train-head` wrote or in an exported folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mer.cache.granularity import STREAMS, in_order, stream
from mer.heads import Head, HeadConfig, HeadError, Statistics
from mer.heads.config import HEAD_SOURCE
from mer.heads.fusion.build_head import build_head
from mer.heads.training.run_queue import SCALE
from mer.predict.errors import PredictError
from mer.results.errors import ResultError
from mer.results.names import run_stem
from mer.results.run_files import CURE

Run = tuple[str, int]
"""Fold and seed."""


@dataclass(frozen=True, kw_only=True)
class SavedWeights:
    """Tensors of one run: a file of their own, or those of a file whose names begin in the same way."""

    path: Path
    """A safetensors file."""
    prefix: str = ""
    """What the names of the wanted tensors begin with."""

    def read(self) -> dict[str, Tensor]:
        """The tensors, by name without the prefix.

        Raises:
            ResultError: no such file, a damaged one, or one without these tensors.
        """
        try:
            with safe_open(self.path, "pt") as file:
                found = {
                    name.removeprefix(self.prefix): file.get_tensor(name) for name in file.keys() if name.startswith(self.prefix)
                }
        except (OSError, SafetensorError) as problem:
            raise ResultError(f"{self.path}: no readable weights ({problem}); {CURE}") from None
        if not found:
            raise ResultError(f"{self.path}: no weights named {self.prefix}...; {CURE}")
        return found


@dataclass(frozen=True, kw_only=True)
class SavedPart:
    """One head of a result: multi-level fusion has two, every other result one."""

    config: HeadConfig
    """As it was trained."""
    layers: Mapping[str, tuple[int, ...]]
    """Granularity to the numbers of the encoder layers that the head averages."""
    weights: Mapping[Run, SavedWeights]
    """Where each run's tensors are."""


@dataclass(frozen=True, kw_only=True)
class SavedHead:
    """Everything that a prediction with a head needs, less the encoders."""

    folder: Path
    """Where it was read from."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    features: Mapping[str, Any]
    """Identity of the features it was trained on, the `spec.json` of their cache."""
    parts: tuple[SavedPart, ...]
    """Heads whose logits are averaged."""
    runs: tuple[Run, ...]
    """Folds and seeds, in the order of the result."""
    hashes: Mapping[Path, Mapping[str, str]]
    """Folder to the SHA-256 of files below it, as the file that was written last there has them."""
    places: Mapping[str, Path] = field(default_factory=dict)
    """Where encoders that were folders are, by their names in `features`, as far as they are still there."""

    def files(self, runs: Sequence[Run]) -> dict[Path, list[str]]:
        """What the answers of some runs depend on: folder to names below it.

        An encoder's weights are no part of it, as their own hash is compared when they are loaded.
        """
        found: dict[Path, list[str]] = {}
        for folder, hashes in self.hashes.items():
            weights = {part.weights[run].path for part in self.parts for run in runs}
            names = [path.relative_to(folder).as_posix() for path in sorted(weights) if folder in path.parents]
            beside = [
                name for name in hashes if name.split("/")[0].partition("@")[0] in STREAMS and not name.endswith(".safetensors")
            ]
            found[folder] = [*names, *beside]
        return found

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Ratings that it answers with; empty where it answers with an emotion."""
        return self.parts[0].config.dimensions

    @property
    def granularities(self) -> tuple[str, ...]:
        """Those that some part uses."""
        wanted = {name for part in self.parts for name in part.config.branches}
        return in_order(wanted)

    @property
    def by_speaker(self) -> tuple[str, ...]:
        """Granularities that some part normalises by speaker, so that a speaker's recordings have to be given together."""
        wanted = {name for part in self.parts for name in part.config.by_speaker}
        return in_order(wanted)


def saved_part(
    config: Mapping[str, Any], layers: Mapping[str, Sequence[int]], weights: Mapping[Run, SavedWeights], place: Path
) -> SavedPart:
    """A part from the values of a JSON document.

    Raises:
        ResultError: settings that this version does not know.
    """
    settings: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    recorded = settings.pop(HEAD_SOURCE, None)
    try:
        known = HeadConfig(**settings)
        if recorded is not None:
            _check_source(recorded, known)
    except (TypeError, HeadError) as problem:
        if recorded is not None:
            raise PredictError(f"{place}: {_whose(recorded)}. {problem}") from None
        raise ResultError(f"{place}: its settings are not those of this version of mer ({problem}); {CURE}") from None
    return SavedPart(config=known, layers={name: tuple(each) for name, each in layers.items()}, weights=weights)


def _whose(recorded: Mapping[str, str]) -> str:
    return (
        f"trained with a head of its owner's own, class {recorded['class']} of module {recorded['module']}, whose file has the "
        f"SHA-256 {recorded['sha256'][:12]}: start mer in the folder of that file, or put the folder on PYTHONPATH; a head "
        "that is registered needs MER_PLUGINS too"
    )


def _check_source(recorded: Mapping[str, str], config: HeadConfig) -> None:
    """A class that was changed since is another head: its weights may fit, and its answers be others."""
    found = config.as_dict()[HEAD_SOURCE]
    if found != recorded:
        raise HeadError(f"here it is {found}, another source: put the file back as it was, or train again")


class LoadedHead(NamedTuple):
    """One run's head with the weights that were tested."""

    head: Head
    """In evaluation mode."""
    statistics: dict[str, Statistics]
    """Granularity to its normalisation."""
    scale: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    """Mean and deviation that make ratings of its outputs; None of emotions."""


def load_head(saved: SavedHead, part: SavedPart, run: Run, device: torch.device) -> LoadedHead:
    """One run's head.

    Raises:
        ResultError: weights that are not there, or not those of such a head.
    """
    place = part.weights[run]
    tensors = place.read()
    widths = saved.features["dim"]
    shapes = {name: (len(part.layers[name]), int(widths[stream(name)])) for name in part.config.branches}
    statistics = {}
    try:
        for name in part.config.standardised:
            mean, std = (tensors.pop(f"statistics.{name}.{each}") for each in ("mean", "std"))
            statistics[name] = Statistics(mean=mean, std=std).to(device)
        scale = (tensors.pop(SCALE[0]).numpy(), tensors.pop(SCALE[1]).numpy()) if part.config.dimensions else None
        head = build_head(part.config, shapes, len(saved.classes), seed=run[1], fold=run[0])
        head.load_state_dict(tensors)
    except (KeyError, RuntimeError, HeadError) as problem:
        raise ResultError(f"{place.path}: not the weights of run {run_stem(*run)} ({problem}); {CURE}") from None
    return LoadedHead(head.eval().to(device), statistics, scale)
