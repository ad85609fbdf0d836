"""One finished run, as it stands in `finished/`: the commit marker that makes it count."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from mer.protocol.calibration import fit_temperature, softmax
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
    "validation_ids?": [str],
    "validation_truth?": [int],
    "validation_logits?": [[float]],
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
    validation_ids: tuple[str, ...] = ()
    """Validation utterances; empty where none are held out, ratings are predicted, and in records of before they were kept."""
    validation_truth: tuple[int, ...] = ()
    """Class numbers of them."""
    validation_logits: tuple[tuple[float, ...], ...] = ()
    """One row per validation utterance, with the weights that were tested."""
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
        values: list[list[float]] = softmax(np.array(self.logits, dtype=np.float64)).tolist()
        return values

    @cached_property
    def temperature(self) -> float | None:
        """What the logits are divided by to be calibrated, by the validation part alone; None where nobody was held out."""
        if not self.validation_ids:
            return None
        logits = np.array(self.validation_logits, dtype=np.float64)
        return fit_temperature(logits, np.array(self.validation_truth, dtype=np.int64))

    @property
    def scaled(self) -> Float64[np.ndarray, "utterances classes"] | None:
        """Softmax of the logits over the temperature."""
        found = self.temperature
        return None if found is None else softmax(np.array(self.logits, dtype=np.float64) / found)


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
    held_out = len(run.validation_ids) == len(run.validation_truth) == len(run.validation_logits)
    known = 0 <= run.best_epoch <= len(run.epochs)
    return run if whole and held_out and known and file.stem == run_stem(run.fold, run.seed) else None


def has_weights(run: FinishedRun, folder: Path, weights: Path) -> bool:
    """Whether a run's weights are there, and as they were committed."""
    return weights.exists() and is_whole(folder, run.files_sha256)


def _parse(values: dict[str, Any], make_epoch: MakeEpoch) -> FinishedRun:
    return FinishedRun(
        **{
            **values,
            "epochs": tuple(make_epoch(**epoch) for epoch in values["epochs"]),
            **{name: tuple(values.get(name, ())) for name in ("ids", "truth", "validation_ids", "validation_truth")},
            **{name: tuple(tuple(row) for row in values.get(name, ())) for name in ("logits", "validation_logits", "ratings")},
        }
    )
