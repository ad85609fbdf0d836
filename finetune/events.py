"""What fine-tuning tells while it goes on; printing and keeping it is the caller's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.finetune.trained import FinetuneEpoch
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


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """A run is about to train, or to go on."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    device: str
    """Where this process trains."""
    precision: str
    """`float32` or `bfloat16`."""
    processes: int
    """That train together."""
    epochs: int
    """Epochs of the whole run."""
    steps: int
    """Steps of each epoch."""
    pass_seconds: float
    """Padded audio of a forward pass on each device: as given, or what the memory holds."""
    utterances: Mapping[str, int]
    """Number in `train`, `validation` and `test`."""
    cut: Mapping[str, int]
    """How many of them are cut at `max_seconds`."""
    resumed: tuple[int, int] | None
    """Epoch (from 1) and steps done in it where a checkpoint goes on; None from the beginning."""


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """One optimiser step, over all processes."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    epoch: int
    """From 1."""
    epochs: int
    """Epochs of the whole run."""
    step: int
    """From 1 in the epoch."""
    steps: int
    """Steps of the epoch."""
    loss: float
    """What was minimised: mean over the step's utterances, all tasks together."""
    main_loss: float
    """Cross-entropy of the emotion."""
    aux1_loss: float | None
    """Cross-entropy of the re-paired utterances; None without task 1."""
    aux2_loss: float | None
    """Cross-entropy of the pairs of one emotion; None without task 2, or without a pair."""
    lonely_share: float | None
    """Share of the utterances without a partner for task 2; None without task 2."""
    unchanged_share: float | None
    """Share of task 1's pairs whose audio and text are of one utterance; None without task 1."""
    same_class_share: float | None
    """Share of task 1's pairs whose audio and text are of one class, the unchanged included; None without task 1."""
    gradient_norm: float
    """Before clipping."""
    rate_factor: float
    """What both step sizes are multiplied with, by warm-up and decay."""
    audio_seconds_per_second: float
    """Audio (unpadded, after cutting) through forward and backward passes, over this command's training time."""
    memory: int
    """Most bytes in use so far: allocated on the GPU of this process, or held by it on a CPU."""
    seconds_left: float | None
    """Estimate for the rest of this run; None before the second step."""


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """An epoch is trained and validated."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    epochs: int
    """Epochs of the whole run."""
    epoch: FinetuneEpoch
    """What came out."""


@dataclass(frozen=True, kw_only=True)
class CheckpointWritten:
    """A checkpoint is on disk, whole."""

    path: Path
    """Its folder."""
    seconds: float
    """What it took."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSkipped:
    """A checkpoint is damaged and is passed over for an earlier one, or for the beginning."""

    path: Path
    """Its folder."""
    reason: str
    """What is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class TrackingFailed:
    """A tracker failed in the middle of a run; it trains on, and what is missing is sent when the result is there."""

    tracker: str
    """Its name."""
    reason: str
    """What its package said."""


Event = RunStarted | StepDone | EpochDone | CheckpointWritten | CheckpointSkipped
Listener = Callable[[Event], None]
FinetuneEvent = FinetuningStarted | Event | RunDone | TrackingFailed
Progress = Callable[[FinetuneEvent], None]
