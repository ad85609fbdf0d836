"""The content of a head's `result.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mer.heads.config import HeadConfig
from mer.heads.features.features import Features
from mer.heads.training.selection import Selection
from mer.protocol import ClassMap
from mer.results.finished_run import FinishedRun
from mer.results.result_document import result_values, utterance_counts


def result_document(
    cache: Features,
    config: HeadConfig,
    branches: Sequence[str],
    selection: Selection,
    classes: ClassMap,
    finished: Sequence[FinishedRun],
    failed: Sequence[Mapping[str, Any]],
    device: str,
) -> dict[str, Any]:
    """Everything that tables and figures need of a head; `cache` is what it was trained on, the rest as for `result_values`."""
    unrated = {} if selection.ratings is None else {"unrated": selection.unrated}
    return result_values(
        corpus=cache.spec["corpus"]["name"],
        synthetic=cache.synthetic,
        config=config.as_dict(),
        branches=branches,
        selection=selection,
        classes=classes,
        finished=finished,
        failed=failed,
        device=device,
        votes=selection.shares,
    ) | {
        "cache_key": cache.key,
        "features": dict(cache.spec),
        "utterances": {**utterance_counts(selection), **unrated, "failed_extraction": len(cache.failed)},
        "layers": {name: list(config.layers or cache.layers(name)) for name in branches},
        "layer_shares": {
            name: np.mean([run.layer_shares[name] for run in finished], axis=0).tolist()
            for name in branches
            if all(name in run.layer_shares for run in finished)
        },
    }
