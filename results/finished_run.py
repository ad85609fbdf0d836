"""One finished run, as it stands in `finished/`: the commit marker that makes it count."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from mer.results.file_hashes import SEAL, is_sealed_wrongly, is_whole, seal
from mer.results.names import run_stem
from mer.results.run_files import read_json
from mer.results.shape import misfit

SHAPE = {
    "fold": str,
    "seed": int,
    "best_epoch": int,
    "epochs": [dict],
    "ids": [str],
    "truth": [int],
    "logits": [[float]],
    "layer_shares": dict,
    "seconds": float,
    "device?": str,
    "ratings?": [[float]],
    "files_sha256?": dict,
}
"""What a record must hold; one without hashes is from before weights were hashed."""


@runtime_checkable
class EpochRecord(Protocol):
    """A line of `metrics.jsonl`, less fold and seed: a dataclass of plain numbers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def validation_ua(self) -> float | None:
        """Unweighted accuracy of the validation utterances; None where none are held out."""
        ...


MakeEpoch = Callable[..., EpochRecord]
"""Makes what a line of `metrics.jsonl` holds from its values."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What a result needs of one finished run, as it stands in `finished/`."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    best_epoch: int
    """Epoch whose weights were kept."""
    epochs: tuple[EpochRecord, ...]
    """Every epoch."""
    ids: tuple[str, ...]
    """Test utterances."""
    truth: tuple[int, ...]
    """Class numbers of the test utterances; empty where ratings are predicted."""
    logits: tuple[tuple[float, ...], ...]
    """One row per test utterance, one value per class; or predicted ratings, one per dimension."""
    layer_shares: dict[str, list[float]]
    """Granularity to the learned share of each layer."""
    seconds: float
    """Wall time of the run."""
    device: str = ""
    """Where it was trained."""
    files_sha256: Mapping[str, str] = field(default_factory=dict)
    """Path from the run directory to SHA-256 of its weights; empty where none are kept, or were hashed."""
    ratings: tuple[tuple[float, ...], ...] = ()
    """True ratings of the test utterances in the corpus' unit; empty where an emotion is predicted."""

    @property
    def predictions(self) -> list[int]:
        """Class number with the highest logit, the first of equals."""
        return [max(range(len(row)), key=row.__getitem__) for row in self.logits]

    @property
    def probabilities(self) -> list[list[float]]:
        """Softmax of the logits."""
        rows = np.array(self.logits, dtype=np.float64)
        raised = np.exp(rows - rows.max(axis=1, keepdims=True))
        values: list[list[float]] = (raised / raised.sum(axis=1, keepdims=True)).tolist()
        return values


def record_of(run: FinishedRun, hashes: Mapping[str, str]) -> bytes:
    """The content of a run's commit marker."""
    values = json.loads(json.dumps(asdict(replace(run, files_sha256=hashes)), allow_nan=False))
    return json.dumps(seal(values)).encode()


def read_finished(file: Path, make_epoch: MakeEpoch) -> FinishedRun | None:
    """A run's commit marker; None where there is none, or a damaged or foreign one: the run is trained again."""
    try:
        values = read_json(file)
        if is_sealed_wrongly(values) or misfit(values, SHAPE):
            return None
        run = _parse({name: value for name, value in values.items() if name != SEAL}, make_epoch)
    except (OSError, ValueError, TypeError):
        return None
    ends = {len(row) for row in run.logits}
    whole = (
        len(run.ids) == len(run.truth or run.ratings) == len(run.logits) > 0
        and len(ends) == 1
        and set(run.truth) <= set(range(*ends))
    )
    known = 0 <= run.best_epoch <= len(run.epochs)
    return run if whole and known and file.stem == run_stem(run.fold, run.seed) else None


def has_weights(run: FinishedRun, folder: Path, weights: Path) -> bool:
    """Whether a run's weights are there, and as they were committed."""
    return weights.exists() and is_whole(folder, run.files_sha256)


def _parse(values: dict[str, Any], make_epoch: MakeEpoch) -> FinishedRun:
    return FinishedRun(
        **{
            **values,
            "epochs": tuple(make_epoch(**epoch) for epoch in values["epochs"]),
            "ids": tuple(values["ids"]),
            "truth": tuple(values["truth"]),
            "logits": tuple(tuple(row) for row in values["logits"]),
            "ratings": tuple(tuple(row) for row in values.get("ratings", ())),
        }
    )
