"""A finished result, and what is told when one of its runs is over."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished result."""

    directory: Path
    """The run directory."""
    values: Mapping[str, Any]
    """What `result.json` holds."""
    reused: bool
    """True when it was already there and nothing was trained."""

    def __repr__(self) -> str:
        return f"<Result in {self.directory}{', which was there before' if self.reused else ''}>"


@dataclass(frozen=True, kw_only=True)
class RunDone:
    """One run is over and on disk, or has failed."""

    run: int
    """Number of the run, from 1."""
    runs: int
    """Runs of the whole result."""
    over: int
    """Runs that are over by now."""
    fold: str
    """Test session of the run."""
    seed: int
    """Seed of the run."""
    best_epoch: int | None
    """Epoch whose weights were kept; None when the run failed."""
    ua: float | None
    """UA of the test fold; None when the run failed, or predicts ratings."""
    failure: str | None
    """Why the run failed."""
