"""Which utterances of a cache a dataset has: classes, folds and their parts are drawn as for the heads of `mer train-head`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from mer.cache import UtteranceMapping, check_numbers
from mer.cache.granularity import is_text
from mer.heads.config import HeadConfig, head_config
from mer.heads.errors import HeadError
from mer.heads.features.feature_store import check_held, layer_positions
from mer.heads.features.held_names import in_cache
from mer.heads.training.planned_runs import partition_of, plan_runs
from mer.heads.training.selection import Selection, select
from mer.heads.utterance_dataset import UtteranceDataset
from mer.protocol import ClassMap
from mer.protocol.classes import usual_classes
from mer.settings.kinds import parse_granularity

PARTS = ("train", "validation", "test")


class SplitSettings(TypedDict, total=False):
    """What decides classes and folds: options of `mer train-head`, with its defaults."""

    classes: str
    """A class map, such as `4` or `as-is`, or a TOML file; what the kind of corpus usually has by default."""
    drop_class: Sequence[str]
    """Classes that are left out."""
    min_per_class: int
    """Classes with fewer utterances are left out, too."""
    leave_out: str
    """What a fold is tested on: `session`, `speaker`, `given` ...; `auto` by default."""
    fold_count: int | None
    """So many folds of several whole groups each."""
    splits: str | Path | None
    """A CSV file with the parts."""
    validation: str
    """What of the training part validates: `random`, `session` or `group`."""
    validation_share: float
    """Share of it that does."""
    text_disjoint: bool
    """Whether training and validation lose sentences of the test part."""


def dataset_of(
    cache: UtteranceMapping,
    granularity: str | Sequence[str],
    *,
    layers: Sequence[int] | None = None,
    fold: str | int | None = None,
    split: str | None = None,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    **protocol: Unpack[SplitSettings],
) -> UtteranceDataset:
    """The utterances of one part of a fold, or of all folds, with the number of their class.

    Args:
        cache: a cache, or a set of several.
        granularity: one, such as `S`, or several as `F+T` or a list; `F@wavlm` of a set.
        layers: numbers of the encoder layers that are read; None reads all that are stored.
        fold: its name, such as the session that is tested (`cache.folds()` has all); None takes every utterance with a class.
        split: `train`, `validation` or `test` of the fold.
        seed: draws the validation part together with the name of the fold.
        dtype: of the units; float32 by default, whatever is stored.
        **protocol: see `SplitSettings`.

    Raises:
        HeadError: a granularity, layer, fold or part that is not there, or an unknown setting.
        ProtocolError: data that cannot be split as asked.
        CacheError: features that an earlier version stored otherwise than they are taken for.
    """
    names = parse_granularity(granularity) if isinstance(granularity, str) else tuple(granularity)
    about = {"granularities": names, "seeds": (seed,), "layers": None if layers is None else tuple(layers)}
    config = in_cache(_config(cache, protocol, **about), cache)
    check_held(cache, config.branches)
    for name in config.branches:
        layer_positions(cache, name, config.layers)
        check_numbers(*cache.holder(name), config.layers)
    selection, classes = select(cache, config)
    rows, part = _part(selection, classes, config, None if fold is None else str(fold), split)
    return UtteranceDataset(
        cache,
        [selection.ids[row] for row in rows.tolist()],
        selection.targets[rows],
        classes=classes.classes,
        layers={name: config.layers or cache.layers(name) for name in config.branches},
        dtype=dtype or torch.float32,
        part=part,
    )


def folds_of(cache: UtteranceMapping, **protocol: Unpack[SplitSettings]) -> tuple[str, ...]:
    """Names of the folds, in the order of reporting.

    Args:
        cache: a cache, or a set of several.
        **protocol: see `SplitSettings`; the same as for `dataset_of`.

    Raises:
        HeadError: an unknown setting.
        ProtocolError: data that cannot be split as asked.
    """
    config = _config(cache, protocol, granularities=cache.granularities[:1])
    return tuple(partition_of(select(cache, config)[0], config).cuts)


def _config(cache: UtteranceMapping, protocol: SplitSettings, **about: Any) -> HeadConfig:
    """The protocol as heads have it; the head itself is never built."""
    if unknown := set(protocol) - set(SplitSettings.__annotations__):
        raise HeadError(
            f"unknown setting {', '.join(sorted(unknown))}, expected some of {', '.join(SplitSettings.__annotations__)}"
        )
    settings: dict[str, Any] = {"classes": usual_classes(cache.spec["corpus"]["kind"]), **protocol}
    if settings.get("splits") is not None:
        settings["splits"] = str(settings["splits"])
    modality = "both" if any(map(is_text, about["granularities"])) else "speech"
    return head_config(fusion="late", modality=modality, **about, **settings)


def _part(
    selection: Selection, classes: ClassMap, config: HeadConfig, fold: str | None, split: str | None
) -> tuple[NDArray[np.int64], str]:
    """Rows of the selection, and what they are called."""
    if fold is None and split is None:
        return np.arange(len(selection.ids)), "all utterances"
    if split not in PARTS:
        raise HeadError(f"fold {fold!r}: which part of it? Give split train, validation or test, got {split!r}")
    known = tuple(partition_of(selection, config).cuts)
    if fold not in known:
        raise HeadError(f"split {split!r} is a part of a fold: give one of {', '.join(known)} as fold, got {fold!r}")
    # One fold of one seed: what `mer train-head --folds FOLD --seeds SEED` would train, validate and test on.
    ((found, seed),) = plan_runs(selection, classes, replace(config, folds=(fold,))).runs
    rows: NDArray[np.int64] = getattr(found, split)
    return rows, f"{split} of fold {fold}" + (f", seed {seed}" if split != "test" else "")
