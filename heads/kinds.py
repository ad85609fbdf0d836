"""Every fusion head by name: what it needs, which options it has, and how much work it is.

Nothing here imports PyTorch: a wrong name or a wrong option is refused at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import import_module
from typing import Any

from mer.cache.granularity import is_text
from mer.settings import Registry


class Needs(Enum):
    """How many granularities a head fuses."""

    ANY = "one granularity or more"
    ONE = "one granularity"
    SEVERAL = "two or more granularities"
    TEXT_AND_SPEECH = "text and speech"

    def problem(self, fusion: str, branches: Sequence[str]) -> str | None:
        """What is wrong with these granularities, and what to do; None where nothing is.

        Args:
            fusion: the head, as the user calls it.
            branches: one granularity or more, text included.
        """
        given = "+".join(branches)
        if self is Needs.ONE and len(branches) != 1:
            advice = "use 'late' or 'coattention', or modality 'speech' or 'text'"
            return f"fusion {fusion!r} is one branch, got {given}: {advice}"
        texts = sum(map(is_text, branches))
        if self is Needs.TEXT_AND_SPEECH and (not texts or texts == len(branches)):
            return f"fusion {fusion!r} needs text and speech, got {given}: use modality 'both'"
        if self is Needs.TEXT_AND_SPEECH and texts > 1:
            return f"fusion {fusion!r} takes text of one encoder, got {given}: use 'late', or leave the others out"
        if self is Needs.SEVERAL and len(branches) < 2:
            return f"fusion {fusion!r} needs two or more granularities, got {given}"
        return None


@dataclass(frozen=True, kw_only=True)
class HeadSource:
    """Where a head of the user's own comes from."""

    module: str
    """The module as it is imported."""
    class_name: str
    """The class in it."""
    sha256: str
    """Hash of the module's file: another one is another head."""

    def as_dict(self) -> dict[str, str]:
        """As a result records it."""
        return {"module": self.module, "class": self.class_name, "sha256": self.sha256}


@dataclass(frozen=True, kw_only=True)
class HeadKind:
    """What is known of a head before it is built."""

    implementation: str | type
    """`package.module:Class`, or the class: a `Head`, or a `torch.nn.Module` for one run (see `OwnHead`)."""
    learning_rate: float | None
    """Step size of Adam unless the user says another one; None where the user has to."""
    needs: Needs
    """Granularities that it can fuse."""
    options: frozenset[str]
    """Fields of `HeadConfig` that it takes, out of `SHAPE_OPTIONS`; the others cannot change its numbers."""
    own_options: Mapping[str, Any] = field(default_factory=dict)
    """Further options that only this head has, with their defaults."""
    copies: int = 6
    """Values that are alive at the peak of a step per unit and encoder width, and per layer of one that attends: the average,
    its gradient and what each layer keeps for the backward pass."""
    attends: bool = False
    """Whether it has layers in which every unit of an utterance meets every other; their products are large enough alone."""
    text_per_speech: bool = False
    """Whether text goes through layers of its own with each speech granularity."""
    source: HeadSource | None = None
    """Where a head of the user's own comes from."""

    def load(self) -> type:
        """The class of the head."""
        if isinstance(self.implementation, type):
            return self.implementation
        module, _, name = self.implementation.partition(":")
        loaded: type = getattr(import_module(module), name)
        return loaded


WITH_ATTENTION = frozenset({"dropout", "attention_heads", "attention_layers", "feed_forward_ratio"})
SHAPE_OPTIONS = WITH_ATTENTION | {"hidden"}
"""Fields of `HeadConfig` that some heads have and others do not."""
LINEAR_RATE, ATTENTION_RATE = 1e-3, 5e-5
"""Zhao 2022, section 3.2: 1e-3 for feed-forward models, 5e-5 for those with attention."""

HEADS = Registry[HeadKind]("fusion head")
"""Heads by the name that `--fusion` takes."""
_LATE = HEADS.add(
    "late",
    HeadKind(
        implementation="mer.heads.fusion.late_fusion:LateFusion",
        learning_rate=LINEAR_RATE,
        needs=Needs.ANY,
        options=frozenset({"hidden", "dropout"}),
    ),
)
HEADS.add("linear", replace(_LATE, needs=Needs.ONE))
HEADS.add(
    "transformer",
    HeadKind(
        implementation="mer.heads.fusion.transformer_head:TransformerHead",
        learning_rate=ATTENTION_RATE,
        needs=Needs.ONE,
        options=WITH_ATTENTION | {"hidden"},
        copies=12,
        attends=True,
    ),
)
HEADS.add(
    "coattention",
    HeadKind(
        implementation="mer.heads.fusion.coattention_head:CoattentionHead",
        learning_rate=ATTENTION_RATE,
        needs=Needs.TEXT_AND_SPEECH,
        options=WITH_ATTENTION,
        copies=12,
        attends=True,
        text_per_speech=True,
    ),
)
HEADS.add(
    "concatenation",
    HeadKind(
        implementation="mer.heads.fusion.concatenation:Concatenation",
        learning_rate=LINEAR_RATE,
        needs=Needs.SEVERAL,
        options=frozenset({"hidden", "dropout"}),
    ),
)
