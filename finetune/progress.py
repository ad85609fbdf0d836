"""What fine-tuning over folds and seeds reports while it goes on; printing is the caller's."""

from collections.abc import Callable
from dataclasses import dataclass

from mer.finetune.events import Event
from mer.results import RunDone


@dataclass(frozen=True, kw_only=True)
class FinetuningStarted:
    """Sent once, before the first run."""

    runs: int
    """Runs of the whole result."""
    finished: int
    """Runs that an earlier command finished and that are kept."""
    epochs: int
    """Epochs of each run."""
    device: str
    """Where this process trains."""
    processes: int
    """That train together."""
    utterances: int
    """That take part."""
    seconds: float | None
    """Seconds of their audio, before cutting; None where only text is used."""
    cut: int
    """Utterances that are longer than `max_seconds`."""
    left_out: tuple[tuple[str, str], ...]
    """Utterances that cannot take part, each with its reason."""
    notices: tuple[str, ...] = ()
    """What a user should know of how the encoders run."""


FinetuneEvent = FinetuningStarted | Event | RunDone
Progress = Callable[[FinetuneEvent], None]


def ignore(event: FinetuneEvent) -> None:
    """Progress for callers who want none."""
