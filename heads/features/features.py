"""What training needs of a feature cache, so that a planted one can stand in for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class PackedFeatures(Protocol):
    """One granularity of many utterances; `mer.cache.PackedUnits` is one."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Units per utterance."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of all units in storage precision."""
        ...

    @property
    def layers(self) -> int:
        """Stored layers."""
        ...

    @property
    def dim(self) -> int:
        """Values per layer."""
        ...

    def views(self, rows: Sequence[int]) -> Sequence[NDArray[Any]]:
        """One read-only array (units, layers, dim) per row, without copying."""
        ...

    def release(self, rows: Sequence[int]) -> None:
        """Let the operating system drop these rows' pages."""
        ...

    def prefetch(self, rows: Sequence[int]) -> None:
        """Let the operating system read these rows in the background."""
        ...


@runtime_checkable
class UtteranceColumns(Protocol):
    """The utterances of a cache as parallel columns; `mer.cache.UtteranceTable` is one."""

    @property
    def ids(self) -> Sequence[str]:
        """Unique ids."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """The corpus' own labels."""
        ...

    @property
    def speakers(self) -> Sequence[str]:
        """Who speaks."""
        ...

    @property
    def sessions(self) -> Sequence[str]:
        """Fold units."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """Transcripts."""
        ...

    @property
    def styles(self) -> Sequence[str]:
        """`improvised`, `scripted` or empty."""
        ...

    @property
    def dialogues(self) -> Sequence[str]:
        """Recordings; empty where unknown."""
        ...

    @property
    def more(self) -> Sequence[Mapping[str, Any]]:
        """What else the corpus says."""
        ...


@runtime_checkable
class Features(Protocol):
    """A feature cache; `mer.cache.FeatureCache` is one."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """Identity of the cache; `corpus.name` names the run directory."""
        ...

    @property
    def key(self) -> str:
        """Hash of `spec`."""
        ...

    @property
    def granularities(self) -> Sequence[str]:
        """What the cache holds."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether the corpus is synthetic speech."""
        ...

    @property
    def failed(self) -> Sequence[Any]:
        """Utterances that could not be extracted."""
        ...

    @property
    def utterances(self) -> UtteranceColumns:
        """All extracted utterances."""
        ...

    @property
    def encoder_folders(self) -> Mapping[str, Path]:
        """Where encoders that were folders are, by their names in `spec`."""
        ...

    def layers(self, granularity: str) -> Sequence[int]:
        """Numbers of the stored layers."""
        ...

    def dim(self, granularity: str) -> int:
        """Values per layer."""
        ...

    def packed(self, granularity: str, indices: Sequence[int] | None = None) -> PackedFeatures:
        """Units of the given utterances (all by default)."""
        ...
