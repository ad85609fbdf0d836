"""Train one head over all folds and seeds, resumably, and write its result."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.feature_store import FeatureStore, check_held
from mer.heads.features import Features
from mer.heads.progress import Progress, ignore
from mer.heads.result_document import RESULT_FORMAT, result_document
from mer.heads.run_directory import RunDirectory, run_folder, versions
from mer.heads.run_queue import RunQueue, choose_device
from mer.heads.selection import Selection, select
from mer.protocol import (
    ClassMap,
    Fold,
    Validation,
    make_fold,
    session_names,
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished result."""

    directory: Path
    """The run directory."""
    values: Mapping[str, Any]
    """What `result.json` holds."""
    reused: bool
    """True when it was already there and nothing was trained."""


@runtime_checkable
class ProtocolSettings(Protocol):
    """What decides the folds of a result; `HeadConfig` has it."""

    @property
    def folds(self) -> tuple[str, ...] | None:
        """Test sessions; None takes every one."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """One run per fold and seed."""
        ...

    @property
    def validation(self) -> str:
        """What chooses the epoch."""
        ...

    @property
    def validation_share(self) -> float:
        """Share of the training utterances that does."""
        ...

    @property
    def text_disjoint(self) -> bool:
        """Whether training loses sentences of the test session."""
        ...


def train_head(
    cache: Features,
    config: HeadConfig,
    runs: Path,
    *,
    progress: Progress | None = None,
    command: str | None = None,
    store: FeatureStore | None = None,
) -> Result:
    """Train every (fold, seed) of `config` and write `runs/<corpus>-<fusion>-<granularities>-<fingerprint>/`.

    A run that is finished stays finished: after an interruption the same call does the rest and gives what an
    uninterrupted one gives. A result that is already there is returned, never trained again.

    Args:
        cache: the feature cache.
        config: the head, its features and its protocol.
        runs: folder of run directories.
        progress: called with what happens.
        command: the command line, for `provenance.json`.
        store: features that an earlier call has opened, for the rows of a table; None opens them.

    Raises:
        HeadError: features or folds that the cache does not hold, a run directory of another config or in
            use, or no run that ended with a number.
        ProtocolError: data that cannot be split as asked.
    """
    selection, classes = select(cache, config.classes)
    check_held(cache, config.branches)
    plan = _plan(selection, classes, config)
    store = store or open_store(config)
    identity = {
        "format": RESULT_FORMAT,
        "config": config.identity(),
        "cache_key": cache.key,
        "data": selection.fingerprint(texts=config.text_disjoint),
    }
    directory = RunDirectory(runs / directory_name(cache, config.fusion, config.branches, identity), identity)
    with directory.locked():
        existing = directory.result()
        if existing is not None:
            directory.tidy()
            return Result(directory=directory.path, values=existing, reused=True)
        queue = RunQueue(cache, config, selection, classes, plan, directory, store, progress or ignore)
        directory.append_provenance(
            {"versions": versions(), "command": command, "device": str(store.device), "started": time.time()}
        )
        finished, failed = queue.train()
        if not finished:
            raise HeadError(f"no run ended with a number; first: {failed[0]['reason']}")
        document = result_document(cache, config, config.branches, selection, classes, finished, failed, str(store.device))
        document["removed_for_text"] = {fold.test_session: fold.removed for fold, _ in plan}
        values = directory.finish(finished, classes.classes, document)
    return Result(directory=directory.path, values=values, reused=False)


def open_store(config: HeadConfig) -> FeatureStore:
    """A store on the device and within the limits of `config`; pass it to several calls to load features once.

    Raises:
        HeadError: a device that is not there.
    """
    device = choose_device(config.device)
    return FeatureStore(device, ram_gib=config.ram_gib, device_memory_gib=config.device_memory_gib)


def _plan(selection: Selection, classes: ClassMap, config: HeadConfig) -> list[tuple[Fold, int]]:
    """Every (fold, seed) in the order in which they are trained and reported."""
    available = session_names(selection.sessions)
    unknown = [name for name in config.folds or () if name not in available]
    if unknown:
        raise HeadError(
            f"the cache has no session {', '.join(unknown)} to test on, only {', '.join(available)}: "
            "extract it first (`mer extract --session ...`) or leave it out of --folds"
        )
    return plan_runs(selection, classes, config)


def plan_runs(selection: Selection, classes: ClassMap, config: ProtocolSettings) -> list[tuple[Fold, int]]:
    """Every (fold, seed) of a config whose sessions are all there, in the order in which they are trained.

    Raises:
        ProtocolError: data that cannot be split as asked.
    """
    return [
        (
            make_fold(
                sessions=selection.sessions,
                speakers=selection.speakers,
                targets=selection.targets,
                classes=classes.classes,
                test_session=name,
                seed=seed,
                validation=cast(Validation, config.validation),
                share=config.validation_share,
                texts=selection.texts,
                text_disjoint=config.text_disjoint,
            ),
            seed,
        )
        for name in (config.folds or session_names(selection.sessions))
        for seed in config.seeds
    ]


def directory_name(cache: Features, fusion: str, branches: Sequence[str], identity: Mapping[str, Any]) -> str:
    """Name of a run directory: corpus, head, granularities and the start of the identity's hash."""
    return run_folder(cache.spec["corpus"]["name"], [fusion, "+".join(branches)], identity)
