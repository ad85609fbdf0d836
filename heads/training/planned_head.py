"""A head on a cache: its runs, where they go, and what is still to be trained of them."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.backends.agreement import versions
from mer.cache.encoder_folders import NOTE, places_from
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError, UnfinishedError
from mer.heads.features.feature_store import FeatureStore, check_held
from mer.heads.features.features import Features
from mer.heads.features.held_names import in_cache
from mer.heads.progress import Progress
from mer.heads.training.head_document import result_document
from mer.heads.training.planned_runs import PlannedRuns, plan_runs, refuse_shared_speakers
from mer.heads.training.run_queue import RunQueue
from mer.heads.training.selection import Selection, select
from mer.heads.training.trained_run import Epoch, RatedEpoch
from mer.protocol import ClassMap, Fold
from mer.results.finished_run import FinishedRun
from mer.results.names import RESULT_FORMAT, run_folder
from mer.results.run_directory import RunDirectory

RunKey = tuple[str, int]
"""Test session and seed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedHead:
    """All runs of one head; any number of processes may train some of them each, and any of them finishes."""

    cache: Features
    """The feature cache."""
    config: HeadConfig
    """The head and its protocol."""
    selection: Selection
    """Utterances that take part."""
    classes: ClassMap
    """Their classes."""
    planned: PlannedRuns
    """Every fold and seed, in the order of reporting."""
    directory: RunDirectory
    """Where runs go."""

    @property
    def plan(self) -> tuple[tuple[Fold, int], ...]:
        """Every fold and seed, in the order of reporting."""
        return self.planned.runs

    @property
    def keys(self) -> tuple[RunKey, ...]:
        """Every fold and seed, in the order of reporting."""
        return tuple((fold.test_session, seed) for fold, seed in self.plan)

    def result(self) -> dict[str, Any] | None:
        """The result, if it is there."""
        values = self.directory.result()
        if values is not None:
            self.directory.tidy()
        return values

    def pending(self) -> list[RunKey]:
        """Runs that have neither ended with a number nor without; none once the result is there."""
        finished, failed = self._ended()
        waiting = [key for key in self.keys if key not in finished and key not in failed]
        # In this order: what another process tidied away while we looked is in its result.
        return [] if waiting and self.directory.result() is not None else waiting

    def note_start(self, command: str | None, device: str) -> None:
        """Keep versions and command of a start for the provenance."""
        folders = {NOTE: places_from(self.directory.path, self.cache.encoder_folders)}
        start = {"versions": versions(), "command": command, "device": device, "started": time.time()}
        self.directory.append_provenance(start | folders)

    def train(self, wanted: Collection[RunKey], store: FeatureStore, progress: Progress) -> None:
        """Train those of the wanted runs that have not ended; each is on disk as soon as it ends."""
        waiting = {key for key in self.pending() if key in wanted}
        if not waiting:
            return
        finished, failed = self._ended()
        RunQueue(
            self.cache,
            self.config,
            self.selection,
            self.classes,
            self.planned,
            self.directory,
            store,
            progress,
        ).train([pair for pair in self.plan if (pair[0].test_session, pair[1]) in waiting], over=len(finished) + len(failed))

    def finish(self) -> dict[str, Any]:
        """Write the result of runs that have all ended, as it will be read back.

        Raises:
            UnfinishedError: runs that have not ended.
            HeadError: none ended with a number.
        """
        finished, failed = self._ended()
        # After that look: another process tidies when its result is there.
        if (values := self.result()) is not None:
            return values
        missing = [key for key in self.keys if key not in finished and key not in failed]
        if missing:
            raise UnfinishedError(
                f"{len(missing)} of {len(self.plan)} runs are not trained, first fold {missing[0][0]}, seed {missing[0][1]}"
            )
        runs = [finished[key] for key in self.keys if key in finished]
        failures = [failed[key] for key in self.keys if key in failed]
        if not runs:
            self.directory.forget_failures()
            raise HeadError(f"no run ended with a number; first: {failures[0]['reason']}")
        device = ", ".join(sorted({run.device for run in runs}))
        document = result_document(
            self.cache, self.config, self.config.branches, self.selection, self.classes, runs, failures, device
        )
        return self.directory.finish(runs, self.classes.classes, document | self.planned.facts())

    def _ended(self) -> tuple[dict[RunKey, FinishedRun], dict[RunKey, dict[str, Any]]]:
        finished = {(run.fold, run.seed): run for run in self.directory.finished()}
        failed = {(each["fold"], each["seed"]): each for each in self.directory.failed()}
        return finished, {key: each for key, each in failed.items() if key not in finished}


def plan_head(cache: Features, config: HeadConfig, runs: Path | str) -> PlannedHead:
    """The runs of `config`, and `runs/<corpus>-<fusion>-<granularities>-<fingerprint>/`, made where it is not there.

    Args:
        cache: the feature cache.
        config: the head, its features and its protocol.
        runs: folder of run directories.

    Raises:
        HeadError: features or folds that the cache does not hold.
        ResultError: a run directory of another config, or a damaged result.
        ProtocolError: data that cannot be split as asked.
    """
    config = in_cache(config, cache)
    selection, classes = select(cache, config)
    check_held(cache, config.branches)
    planned = plan_runs(selection, classes, config)
    refuse_shared_speakers(planned.partition, config.by_speaker)
    identity = {
        "format": RESULT_FORMAT,
        "config": config.identity(),
        "cache_key": cache.key,
        "data": selection.fingerprint(texts=config.text_disjoint),
        **classes.identity(),
        **planned.partition.identity(selection.ids),
    }
    path = Path(runs) / directory_name(cache, config.fusion, config.branches, identity)
    directory = RunDirectory(path, identity, epoch=RatedEpoch if config.dimensions else Epoch)
    return PlannedHead(cache=cache, config=config, selection=selection, classes=classes, planned=planned, directory=directory)


def directory_name(cache: Features, fusion: str, branches: Sequence[str], identity: Mapping[str, Any]) -> str:
    """Name of a run directory: corpus, head, granularities and the start of the identity's hash."""
    return run_folder(cache.spec["corpus"]["name"], [fusion.replace(":", "."), "+".join(branches)], identity)
