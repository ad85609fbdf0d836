"""What an aligner is: how it is called and recorded, and what it makes of one utterance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from mer.corpus.alignment import Alignment

SAMPLE_RATE = 16_000
"""Hz of the speech that every aligner is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Aligned:
    """One utterance aligned."""

    alignment: Alignment
    """The tiers that the aligner makes, fillers among their units; the others are empty."""
    unknown: tuple[str, ...] = ()
    """Words that the aligner knows nothing of, once each, in order: `AlignerKind.unknown_words` says what becomes of them."""
    fillers_lost: int = 0
    """Tags for which no sound was found in the pause at their place."""
    unknown_characters: Mapping[str, int] = field(default_factory=dict)
    """Characters that the aligner has no symbol for, and how often each was passed over."""


@runtime_checkable  # beartype checks arguments by isinstance
class OpenAligner(Protocol):
    """An aligner with its models loaded; what it makes of an utterance does not depend on those before."""

    def align(self, wave: Float32[np.ndarray, " samples"], text: str) -> Aligned:
        """Find the units of a text in speech.

        Args:
            wave: mono at `SAMPLE_RATE`, full scale = 1.
            text: what is said; bracketed tags are fillers.

        Raises:
            AlignError: speech and text that cannot be aligned, with the reason.
        """
        ...


@runtime_checkable
class AlignerKind(Protocol):
    """An entry of `ALIGNERS`, made with `AlignerOptions`; nothing big is loaded before `open`.

    Making it raises AlignError where an option that it needs is missing, or one of another aligner is given.
    """

    @property
    def title(self) -> str:
        """Name, model and versions, for records; raises AlignError if a package or the model is not there."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that differs whenever the same speech and text would be aligned otherwise."""
        ...

    @property
    def folder_name(self) -> str:
        """What `mer extract` calls the folder of its TextGrids; of each model another one."""
        ...

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers that it makes, some of `words`, `phones` and `syllables`."""
        ...

    @property
    def unknown_words(self) -> str:
        """What becomes of words that it knows nothing of, as the summary says it before it names them."""
        ...

    def open(self) -> OpenAligner:
        """Load it."""
        ...
