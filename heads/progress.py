"""What a long training reports while it goes on; printing is the caller's."""

from collections.abc import Callable
from dataclasses import dataclass

from mer.results import RunDone


@dataclass(frozen=True, kw_only=True)
class TrainingStarted:
    """Sent once, before the first run."""

    runs: int
    """Runs of the whole result, those that are already finished included."""
    finished: int
    """Runs that an earlier command finished and that are kept."""
    device: str
    """Where the runs are trained."""
    stack: int
    """Runs that are trained at once."""
    features: str
    """Where the features live and how large they are, as a sentence."""
    notes: tuple[str, ...] = ()
    """What is to be known of the folds."""


@dataclass(frozen=True, kw_only=True)
class StatisticsProgress:
    """Normalisation statistics are being read."""

    granularity: str
    """Which features."""
    done: int
    """Utterances read."""
    total: int
    """Utterances to read."""


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch of one run is over."""

    run: int
    """Number of the run, from 1, in the order of folds and seeds."""
    runs: int
    """Runs of the whole result."""
    over: int
    """Runs that are over by now."""
    fold: str
    """Test session of the run."""
    seed: int
    """Seed of the run."""
    epoch: int
    """Epoch from 1."""
    max_epochs: int
    """Training ends here at the latest."""
    train_loss: float
    """Mean cross-entropy of the epoch's steps, with dropout."""
    validation_loss: float
    """Mean cross-entropy of the validation part."""
    validation_ua: float | None
    """UA of the validation part; None where ratings are predicted."""
    validation_ccc: float | None = None
    """Mean CCC of the validation part; None where an emotion is predicted."""

    @property
    def validation(self) -> str:
        """`UA 61.2` or `CCC 61.2`, of the validation part in percent."""
        name, value = ("UA", self.validation_ua) if self.validation_ccc is None else ("CCC", self.validation_ccc)
        return f"{name} {100 * (value or 0):.1f}"


@dataclass(frozen=True, kw_only=True)
class StackHalved:
    """Memory ran out; what was in the stack begins anew, fewer at once."""

    runs: int
    """Runs that are trained at once from now on."""


Event = TrainingStarted | StatisticsProgress | EpochDone | RunDone | StackHalved
"""What a training tells while it goes on."""
Progress = Callable[[Event], None]


def ignore(event: object) -> None:
    """Progress for callers who want none."""
