"""One finding of `mer doctor`."""

from dataclasses import dataclass
from typing import Literal

CheckStatus = Literal["ok", "note", "problem"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Something that was looked at before a long run."""

    name: str
    """What was looked at."""
    status: CheckStatus
    """`note` is worth knowing; `problem` will stop or spoil a run."""
    found: str
    """What is there."""
    advice: str = ""
    """What to do about it."""
