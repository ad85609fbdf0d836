"""Multi-level fusion: the logits of a coattention head and of a late head, averaged run by run."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mer.backends.agreement import versions
from mer.cache.granularity import in_order
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.features.feature_store import FeatureStore
from mer.heads.features.features import Features
from mer.heads.features.held_names import in_cache
from mer.heads.progress import Progress
from mer.heads.training.head_document import result_document
from mer.heads.training.planned_head import directory_name
from mer.heads.training.planned_runs import OF_FOLDS, partition_of
from mer.heads.training.selection import select
from mer.heads.training.train_head import open_store, train_head
from mer.heads.training.trained_run import Epoch
from mer.protocol import MULTI_LEVEL, MULTI_LEVEL_PARTS
from mer.results import Result
from mer.results.combination import combined_run, read_part
from mer.results.finished_run import FinishedRun
from mer.results.names import RESULT_FORMAT
from mer.results.run_directory import RunDirectory
from mer.tracking.tracked_result import track_result
from mer.tracking.trackers import check_tracking


def train_multi_level(
    cache: Features,
    coattention: HeadConfig,
    late: HeadConfig,
    runs: Path | str,
    *,
    progress: Progress | None = None,
    command: str | None = None,
    store: FeatureStore | None = None,
) -> Result:
    """Train both heads, or take them where they are, and average their logits for each fold and seed.

    "score combination of best early-fused and late-fused models is considered. Their output logits are averaged
    as the combined prediction" (Zhao 2022, section 2.4).

    Args:
        cache: the feature cache.
        coattention: an early-fused head.
        late: a late-fused head with the same classes, folds, seeds and validation.
        runs: folder of run directories.
        progress: called with what happens while the two are trained.
        command: the command line, for `provenance.json`.
        store: features that an earlier call has opened.

    Raises:
        HeadError: two heads that were not trained and tested on the same utterances, or no run that both finished.
        TrackingError: a tracker that is not there; or one that failed, after the result was written.
    """
    check_tracking(late.track)
    check_same_protocol(coattention, late)
    coattention, late = in_cache(coattention, cache), in_cache(late, cache)
    store = store or open_store(late)
    parts = [train_head(cache, each, runs, progress=progress, command=command, store=store) for each in (coattention, late)]
    result = average_heads(cache, coattention, late, Path(runs), parts, command=command)
    track_result(result, late.track)
    return result


def average_heads(
    cache: Features, coattention: HeadConfig, late: HeadConfig, runs: Path, parts: Sequence[Result], *, command: str | None
) -> Result:
    """The mean of the logits of two heads that are trained; `parts` are their results, other arguments and errors as above."""
    selection, classes = select(cache, late)
    identity = {
        "format": RESULT_FORMAT,
        "config": {"fusion": MULTI_LEVEL, "coattention": coattention.identity(), "late": late.identity()},
        "cache_key": cache.key,
        "data": selection.fingerprint(texts=late.text_disjoint),
        **classes.identity(),
        **partition_of(selection, late).identity(selection.ids),
    }
    ordered = in_order(dict.fromkeys([*coattention.branches, *late.branches]))
    directory = RunDirectory(runs / directory_name(cache, MULTI_LEVEL, ordered, identity), identity, epoch=Epoch)
    existing = directory.result()
    if existing is not None:
        return Result(directory=directory.path, values=existing, reused=all(part.reused for part in parts))
    directory.append_provenance({"versions": versions(), "command": command, "started": time.time()})
    finished, failed = _averaged(parts, classes.classes)
    device = ", ".join(sorted({part.values["device"] for part in parts}))
    document = result_document(cache, late, ordered, selection, classes, finished, failed, device)
    document |= {
        "config": {**late.as_dict(), "fusion": MULTI_LEVEL, "granularities": [name for name in ordered if name != "T"]},
        "heads": {"coattention": coattention.identity(), "late": late.identity()},
        "parts": [part.directory.name for part in parts],
        **{name: parts[1].values[name] for name in OF_FOLDS if name in parts[1].values},
    }
    values = directory.finish(finished, classes.classes, document)
    return Result(directory=directory.path, values=values, reused=False)


def _averaged(results: Sequence[Result], classes: tuple[str, ...]) -> tuple[list[FinishedRun], list[Any]]:
    """The runs that both heads finished, and what is known of those that failed."""
    parts = [read_part(each.directory, each.values, name) for each, name in zip(results, MULTI_LEVEL_PARTS, strict=True)]
    early, late = parts
    finished = [combined_run(parts, key, classes, lambda logits: logits.mean(0)) for key in early.test if key in late.test]
    if not finished:
        raise HeadError("no fold and seed was finished by both heads, so there is nothing to average")
    return finished, [failure for part in parts for failure in part.result["failed_runs"]]


def check_same_protocol(coattention: HeadConfig, late: HeadConfig) -> None:
    """Refuse two heads that were not trained and tested on the same utterances, or are no early- and late-fused pair.

    Raises:
        HeadError: naming every difference.
    """
    problems = []
    if (coattention.fusion, late.fusion) != MULTI_LEVEL_PARTS:
        problems.append(f"expected a coattention and a late head, got {coattention.fusion} and {late.fusion}")
    shared = "classes drop_class min_per_class leave_out fold_count splits folds seeds validation validation_share text_disjoint"
    for name in (*shared.split(), "normalize", "targets", "no_majority"):
        mine, theirs = getattr(coattention, name), getattr(late, name)
        if mine != theirs:
            problems.append(f"{name} differs: {mine} and {theirs}")
    if coattention.dimensions or late.dimensions:
        problems.append(f"it is of emotions, got predict {coattention.predict} and {late.predict}")
    if problems:
        raise HeadError("multi-level fusion: " + "; ".join(problems))
