"""Everything that changes the numbers of a trained head."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mer.cache.granularity import NAME, encoder_of, in_order, is_text, unit_of
from mer.heads.errors import HeadError
from mer.heads.kinds import HEADS, SHAPE_OPTIONS
from mer.heads.own_kind import head_kind, own_values
from mer.protocol.classes import classes_option, portable_name
from mer.protocol.dimensions import PREDICTED
from mer.protocol.held_out import Validation
from mer.protocol.leave_out import (
    SPLIT_FIELDS,
    drop_class_option,
    fold_count_option,
    leave_out_option,
    min_per_class_option,
    splits_option,
)
from mer.settings.kinds import ASSIGNMENTS, GRANULARITY, NUMBERS, SEEDS, SESSIONS
from mer.settings.option import WHAT, number_free, option, problems_of, unsaid
from mer.settings.shared_options import class_weights_option, device_option, focal_gamma_option, loss_option
from mer.tracking.trackers import track_option

Modality = Literal["both", "speech", "text"]
Normalize = Literal["speech", "global", "speaker", "none"]
LayerWeights = Literal["plain", "softmax"]
Precision = Literal["float32", "tf32", "bfloat16"]

SPEECH = ("F", "P", "S", "W")
"""Granularities of speech in their fixed order; text adds `T`."""

OF_EMOTIONS = frozenset(
    ("class_weights", "loss", "focal_gamma", "targets", "no_majority", "classes", "drop_class", "min_per_class")
)
"""Fields that mean nothing to a head that answers with ratings."""

HEAD_SOURCE = "head_source"
"""Key of a config in JSON: module, class and hash of a head of the user's own."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """One row of a table: a head, its features and how it is trained and tested."""

    granularities: tuple[str, ...] = option(
        ("F", "S"),
        "Speech units: some of F+P+S+W, T beside them for text; F@wavlm+F@whisper of several encoders. On the command line "
        "F+P/F+S gives those of multi-level's two heads. Not used by modality text.",
        name="granularity",
        kind=GRANULARITY,
        panel=WHAT,
    )
    modality: str = option("both", "What is trained on.", choices=get_args(Modality), panel=WHAT)
    fusion: str = option(
        "late",
        "late adds the logits of two or more linear branches; linear and transformer are one branch; coattention and "
        "concatenation fuse text with speech early. package.module:Class is a head of your own (docs/extending.md).",
        choices=HEADS,
        own_class=True,
        panel=WHAT,
    )
    hidden: int = option(
        128, "Width of the two hidden layers of each linear branch, and before a transformer's logits.", least=1, most=65_536
    )
    attention_heads: int | None = option(
        None, "Heads of an attention layer, a divisor of the encoders' width. Default: 8, fewer for narrow encoders.", least=1
    )
    attention_layers: int = option(3, "Layers of transformer and coattention.", least=1, most=100)
    feed_forward_ratio: int = option(
        4, "Width of the feed-forward part of an attention layer, in encoder widths.", least=1, most=100
    )
    head_options: tuple[str, ...] = option(
        (), "What only a head of your own has, such as gate=tanh,deep=true.", kind=ASSIGNMENTS, panel=WHAT, later=True
    )
    layers: tuple[int, ...] | None = option(
        None, "Encoder layers to average, such as 9-12. Default: all cached.", kind=NUMBERS, panel=WHAT
    )
    layer_weights: str = option(
        "plain",
        "plain divides the learned weights by their sum (the paper); softmax keeps them positive.",
        choices=get_args(LayerWeights),
        panel=WHAT,
    )
    dropout: float = option(0.2, "Probability of zeroing a hidden value while training, in [0, 1).", least=0, below=1)
    learning_rate: float | None = option(None, "Step size of Adam. Default: 1e-3, with attention 5e-5 (the paper).", above=0)
    class_weights: str = class_weights_option()
    loss: str = loss_option()
    focal_gamma: float = focal_gamma_option()
    batch: int = option(32, "Utterances per step; the last step of an epoch takes what is left.", least=1)
    max_epochs: int = option(100, "Training ends here at the latest; early stopping usually ends it before.", least=1)
    patience: int = option(4, "Training ends after this many epochs in a row without a lower validation loss.", least=1)
    validation: str = option(
        "random",
        "What chooses the epoch: a random share of the training utterances (the paper), one training session, or whole groups "
        "of what is left out that make up the share. A dev part of the given split goes before.",
        choices=get_args(Validation),
    )
    validation_share: float = option(0.1, "Share of the training utterances that random and group hold out.", above=0, below=1)
    normalize: str = option(
        "speech",
        "What is made mean 0 and deviation 1 per layer and dimension: speech (the paper) by the training units of speech, global "
        "by those of speech and text, speaker speech by all units of each speaker, none nothing.",
        choices=get_args(Normalize),
    )
    text_disjoint: bool = option(False, "Train without sentences that the test part has too.")
    predict: str = option(
        "emotion",
        "What a head answers: the emotion, or how the utterance was rated: valence, arousal, dominance, or vad, all three.",
        choices=("emotion", *PREDICTED),
        panel=WHAT,
        later=True,
    )
    rating_loss: str = option(
        "ccc",
        "What training on ratings lowers: ccc, 1 - the concordance correlation coefficient of a step, or mse, the mean squared "
        "error of ratings with deviation 1.",
        choices=("ccc", "mse"),
        later=True,
    )
    targets: str = option(
        "hard",
        "What is learned: hard, the class of the label (the paper), or soft, the shares of the annotators' votes. Tests are "
        "scored against the label.",
        choices=("hard", "soft"),
        later=True,
    )
    no_majority: str = option(
        "leave-out",
        "Utterances whose label is no class and whose votes are tied: leave-out, or use, which trains on them and never "
        "validates or tests. For soft targets.",
        choices=("leave-out", "use"),
        later=True,
    )
    classes: str = classes_option()
    drop_class: tuple[str, ...] = drop_class_option()
    min_per_class: int = min_per_class_option()
    seeds: tuple[int, ...] = option((0, 1, 2, 3, 4), "Runs per fold: a count, or a list such as 0,2,5.", kind=SEEDS)
    leave_out: str = leave_out_option()
    fold_count: int | None = fold_count_option()
    splits: str | None = splits_option()
    folds: tuple[str, ...] | None = option(
        None, "Folds by name, such as test sessions 1-5 or test part test1. Default: all.", kind=SESSIONS
    )
    device: str = device_option()
    ram_gib: float | None = option(
        None,
        "GiB of features to keep in memory; more is streamed from disk.",
        name="ram",
        was=("ram_gib",),
        above=0,
        identity=False,
    )
    device_memory_gib: float | None = option(
        None,
        "GiB of features to keep in GPU memory; more stays outside.",
        name="device_memory",
        was=("device_memory_gib",),
        above=0,
        identity=False,
    )
    precision: str | None = option(
        None,
        "Of the products of heads on a GPU: float32, tf32 or bfloat16; sums, weights and losses stay float32. Default: tf32. A "
        "CPU computes in float32.",
        choices=get_args(Precision),
        later=True,
    )
    stack: int | None = option(
        None, "Runs trained at once; changes rounding at most. Default: as many as fit into memory.", least=1, identity=False
    )
    track: str | None = track_option()

    def __post_init__(self) -> None:
        """Reject what cannot be trained, all problems at once."""
        object.__setattr__(self, "seeds", tuple(self.seeds))
        object.__setattr__(self, "head_options", tuple(sorted(self.head_options)))
        object.__setattr__(self, "drop_class", tuple(sorted(self.drop_class)))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(sorted(self.layers)))
        problems = [
            *self._problems_of_head(),
            *problems_of(self),
            *self._problems_of_branches(),
            *self._problems_of_lists(),
            *self._problems_of_targets(),
        ]
        if problems:
            raise HeadError("; ".join(problems))
        object.__setattr__(self, "granularities", in_order(self.granularities))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Ratings that the head answers with; empty where it answers with an emotion."""
        return PREDICTED.get(self.predict, ())

    @property
    def soft(self) -> bool:
        """Whether votes are learned."""
        return self.targets == "soft"

    @property
    def branches(self) -> tuple[str, ...]:
        """Granularities that are trained on, text included, in their fixed order."""
        speech = () if self.modality == "text" else tuple(name for name in self.granularities if not is_text(name))
        text = tuple(name for name in self.granularities if is_text(name)) or ("T",)
        return speech if self.modality == "speech" else (*speech, *text)

    @property
    def standardised(self) -> tuple[str, ...]:
        """Granularities that are normalised by statistics of each run's training part."""
        if self.normalize == "speech":
            return tuple(name for name in self.branches if not is_text(name))
        return self.branches if self.normalize == "global" else ()

    @property
    def by_speaker(self) -> tuple[str, ...]:
        """Granularities that are normalised by statistics of each utterance's own speaker."""
        return tuple(name for name in self.branches if not is_text(name)) if self.normalize == "speaker" else ()

    def as_dict(self) -> dict[str, object]:
        """The fields as JSON knows them; a head of the user's own says where it comes from."""
        left_out = unsaid(self)
        values: dict[str, object] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
            if name not in left_out
        }
        source = head_kind(self.fusion).source
        return values if source is None else {**values, HEAD_SOURCE: source.as_dict()}

    def used(self) -> frozenset[str]:
        """Fields that this head looks at; an option of another one would change nothing."""
        other = {"validation_share"} if self.validation == "session" else set[str]()
        speech = {"modality", "granularities"} if self.modality != "text" else {"modality"}
        other |= SHAPE_OPTIONS - head_kind(self.fusion).options | ({"focal_gamma"} if self.loss != "focal" else set())
        other |= OF_EMOTIONS if self.dimensions else {"rating_loss"}
        return ((frozenset(self.identity()) | unsaid(self)) - {"branches"} - other) | speech | SPLIT_FIELDS

    def identity(self) -> dict[str, object]:
        """All that can change a number; text-only heads have no speech granularities."""
        left_out = {*number_free(HeadConfig), *SPLIT_FIELDS, "granularities", "modality"}
        left_out |= SHAPE_OPTIONS - head_kind(self.fusion).options
        left_out |= set() if self.loss == "focal" else {"focal_gamma"}
        left_out |= OF_EMOTIONS if self.dimensions else {"rating_loss"}
        left_out |= set() if self.precision == "bfloat16" else {"precision"}  # the others differ by rounding
        fields = {name: value for name, value in self.as_dict().items() if name not in left_out}
        classes = {} if self.dimensions else {"classes": portable_name(self.classes)}
        return {"branches": list(self.branches), **fields, **classes}

    def fingerprint(self) -> str:
        """SHA-256 of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _problems_of_head(self) -> list[str]:
        """Takes the head's learning rate where none is given."""
        try:
            kind = head_kind(self.fusion)
            own_values(kind, self.head_options)
        except HeadError as error:
            return str(error).split("; ")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", kind.learning_rate)
        if self.learning_rate is None:
            return [f"learning_rate: fusion {self.fusion!r} does not say one: give it, or write it into the class"]
        problem = kind.needs.problem(self.fusion, self.branches) if self.branches else None
        return [] if problem is None else [problem]

    def _problems_of_branches(self) -> list[str]:
        problems = []
        known = (*SPEECH, "T") if self.modality != "speech" else SPEECH
        unknown = [name for name in self.granularities if not _named(name, known) and name not in SPEECH]
        if "T" in self.granularities and unknown == ["T"]:
            problems.append("granularity T is text: ask for it with modality 'text' or 'both'")
        elif unknown and all(map(is_text, unknown)):
            problems.append(f"granularity {'+'.join(unknown)} is text: ask for it with modality 'text' or 'both'")
        elif unknown:
            named = ", or F@NAME with the name of an encoder" if any("@" in name for name in unknown) else ""
            problems.append(f"unknown granularity {'+'.join(unknown)}, expected some of {'+'.join(SPEECH)}{named}")
        if len(set(self.granularities)) < len(self.granularities):
            problems.append(f"granularity given twice in {'+'.join(self.granularities)}")
        if not self.branches:
            problems.append(f"modality 'speech' needs a granularity out of {'+'.join(SPEECH)}")
        return problems

    def _problems_of_targets(self) -> list[str]:
        if self.no_majority == "use" and not self.soft:
            return ["no_majority 'use' needs targets 'soft': an utterance without a majority has no class to learn"]
        return []

    def _problems_of_lists(self) -> list[str]:
        problems = []
        if self.layers is not None and (not self.layers or len(set(self.layers)) < len(self.layers) or min(self.layers) < 0):
            problems.append(f"layers must be different numbers, 0 or more, got {list(self.layers)}")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            problems.append(f"seeds must be different numbers, 0 or more, got {list(self.seeds)}")
        if self.folds is not None and (not self.folds or len(set(self.folds)) < len(self.folds)):
            problems.append(f"folds must be different names, at least one, got {list(self.folds)}")
        kind = self.device.partition(":")[0]
        if kind not in {"auto", "cpu", "cuda", "mps"}:  # mps is refused with the reason, where devices are opened
            problems.append(f"unknown device {self.device!r}, expected auto, cpu or cuda")
        return problems


def head_config(**fields: Any) -> HeadConfig:
    """A head of `granularities` in which T may stand for text: F+S+T is F+S with text, T alone is text.

    Raises:
        HeadError: a head that cannot be trained.
    """
    names = tuple(fields.get("granularities", ()))
    if any(map(is_text, names)) and fields.get("modality", "both") == "both":
        kept = tuple(name for name in names if name != "T")
        if "T" in names and any(map(is_text, kept)):
            raise HeadError(f"granularity {'+'.join(names)}: T beside {'+'.join(filter(is_text, kept))}; give one of them")
        speech = any(not is_text(name) for name in names)
        fields |= {"granularities": kept, "modality": "both" if speech else "text"}
    return HeadConfig(**fields)


def _named(granularity: str, units: Sequence[str]) -> bool:
    """Whether it is one of some units of an encoder that has a name."""
    return unit_of(granularity) in units and NAME.fullmatch(encoder_of(granularity)) is not None
