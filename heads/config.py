"""Everything that changes the numbers of a trained head."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal, get_args

from mer.heads.errors import HeadError
from mer.protocol import AS_IS, CLASS_MAPS, Validation

Modality = Literal["both", "speech", "text"]
Fusion = Literal["late", "linear"]
Normalize = Literal["global", "none"]

SPEECH = ("F", "P", "S", "W")
"""Granularities of speech in their fixed order; text adds `T`."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """One row of a table: a head, its features and how it is trained and tested."""

    granularities: tuple[str, ...] = ("F", "S")
    """Speech granularities out of F, P, S, W. Ignored when `modality` is `text`."""
    modality: str = "both"
    """`both`, `speech` or `text`."""
    fusion: str = "late"
    """`late` adds the logits of two or more branches; `linear` is one branch."""
    hidden: int = 128
    """Width of the two hidden layers of each branch."""
    dropout: float = 0.2
    """Probability of zeroing a hidden value while training, in [0, 1)."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    batch: int = 32
    """Utterances per step; the last step of an epoch takes what is left."""
    max_epochs: int = 100
    """Training ends here at the latest."""
    patience: int = 4
    """Training ends after this many epochs in a row without a lower validation loss."""
    validation: str = "random"
    """What chooses the epoch: a `random` share of the training utterances, or one training `session`."""
    validation_share: float = 0.1
    """Share of the training utterances, for `random`."""
    normalize: str = "global"
    """`global`: mean and deviation of the training units per layer and dimension; `none`: features as
    stored."""
    classes: str = "4"
    """A class map of `mer.protocol`: 4, 4-noexc, 6, or as-is."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One run per fold and seed."""
    folds: tuple[str, ...] | None = None
    """Test sessions; None takes every session of the cache."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`. Changes rounding only, so it is not part of the fingerprint."""
    ram_gib: float | None = None
    """Features larger than this are streamed from disk. Changes no number."""

    def __post_init__(self) -> None:
        """Reject what cannot be trained, all problems at once."""
        order = [name for name in SPEECH if name in self.granularities]
        object.__setattr__(self, "seeds", tuple(self.seeds))
        problems = [
            *self._problems_of_branches(),
            *self._problems_of_numbers(),
            *self._problems_of_protocol(),
        ]
        if problems:
            raise HeadError("; ".join(problems))
        object.__setattr__(self, "granularities", tuple(order))

    @property
    def branches(self) -> tuple[str, ...]:
        """Granularities that are trained on, text included, in their fixed order."""
        speech = () if self.modality == "text" else self.granularities
        return speech if self.modality == "speech" else (*speech, "T")

    def as_dict(self) -> dict[str, object]:
        """The fields as JSON knows them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()}

    def identity(self) -> dict[str, object]:
        """All fields that can change a number; text-only heads have no speech granularities."""
        left_out = {"device", "ram_gib", "granularities", "modality"}
        fields = {name: value for name, value in self.as_dict().items() if name not in left_out}
        return {"branches": list(self.branches), **fields}

    def fingerprint(self) -> str:
        """SHA-256 of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _problems_of_branches(self) -> list[str]:
        problems = []
        for name, value, valid in (
            ("modality", self.modality, get_args(Modality)),
            ("fusion", self.fusion, get_args(Fusion)),
            ("normalize", self.normalize, get_args(Normalize)),
            ("validation", self.validation, get_args(Validation)),
            ("classes", self.classes, (*CLASS_MAPS, AS_IS)),
        ):
            if value not in valid:
                problems.append(f"unknown {name} {value!r}, expected one of {', '.join(valid)}")
        unknown = [name for name in self.granularities if name not in SPEECH]
        if unknown == ["T"]:
            problems.append("granularity T is text: ask for it with modality 'text' or 'both'")
        elif unknown:
            problems.append(f"unknown granularity {'+'.join(unknown)}, expected some of {'+'.join(SPEECH)}")
        if len(set(self.granularities)) < len(self.granularities):
            problems.append(f"granularity given twice in {'+'.join(self.granularities)}")
        if not self.branches:
            problems.append(f"modality 'speech' needs a granularity out of {'+'.join(SPEECH)}")
        elif self.fusion == "linear" and len(self.branches) != 1:
            problems.append(f"fusion 'linear' is one branch, got {'+'.join(self.branches)}: use 'late'")
        return problems

    def _problems_of_numbers(self) -> list[str]:
        problems = [
            f"{name} must be 1 or more, got {value}"
            for name, value in (
                ("hidden", self.hidden),
                ("batch", self.batch),
                ("max_epochs", self.max_epochs),
                ("patience", self.patience),
            )
            if value < 1
        ]
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout must lie in [0, 1), got {self.dropout}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            problems.append(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 < self.validation_share < 1:
            problems.append(f"validation_share must lie between 0 and 1, got {self.validation_share}")
        if self.ram_gib is not None and not self.ram_gib > 0:
            problems.append(f"ram_gib must be positive, got {self.ram_gib}")
        return problems

    def _problems_of_protocol(self) -> list[str]:
        problems = []
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            problems.append(f"seeds must be different numbers, 0 or more, got {list(self.seeds)}")
        if self.folds is not None and (not self.folds or len(set(self.folds)) < len(self.folds)):
            problems.append(f"folds must be different sessions, at least one, got {list(self.folds)}")
        kind = self.device.partition(":")[0]
        if kind not in {"auto", "cpu", "cuda"}:
            problems.append(f"unknown device {self.device!r}, expected auto, cpu or cuda")
        return problems
