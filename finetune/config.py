"""Everything that changes the numbers of a fine-tuned model."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal, get_args

from mer.extract.encoder_options import (
    speech_model_option,
    speech_revision_option,
    text_model_option,
    text_revision_option,
)
from mer.finetune.errors import FinetuneError
from mer.protocol.classes import classes_option, portable_name
from mer.protocol.held_out import HeldOut
from mer.protocol.leave_out import (
    SPLIT_FIELDS,
    drop_class_option,
    fold_count_option,
    leave_out_option,
    min_per_class_option,
    splits_option,
)
from mer.settings.kinds import PAIR, SEEDS, SESSIONS
from mer.settings.option import WHAT, number_free, option, problems_of, unsaid
from mer.settings.shared_options import (
    class_weights_option,
    device_option,
    focal_gamma_option,
    loss_option,
)
from mer.tracking.trackers import track_option

Modality = Literal["both", "speech", "text"]
Fusion = Literal["ca", "fc"]
Auxiliary = Literal["none", "1", "2", "1+2"]
EpochSelection = Literal["validation", "last"]
Precision = Literal["auto", "float32", "bfloat16"]
TextTags = Literal["drop", "keep"]

PASS_SECONDS = 60.0
"""Padded audio of a forward pass where none is given: on a CPU, which is no faster with more."""

TRAINED, KEPT = "Training", "What is kept"
"""Headings of options in help."""

TRAINING = 2
"""Part of every identity; one more when the same settings come to train other numbers. 1: auxiliary tasks paired inside a
forward pass, and same-class couples shared a step. 2: a step is a uniform draw and pairs are drawn over all of it."""


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One row of a table of Sun 2023: what is trained, on what, and how it is tested."""

    speech_model: str = speech_model_option()
    text_model: str = text_model_option()
    speech_revision: str | None = speech_revision_option()
    text_revision: str | None = text_revision_option()
    modality: str = option("both", "What is trained on.", choices=get_args(Modality), panel=WHAT)
    fusion: str = option(
        "ca",
        "ca is K layers of cross-attention; fc concatenates the means of both encoders' outputs.",
        choices=get_args(Fusion),
        panel=WHAT,
    )
    fusion_layers: int = option(
        1, "K, layers of cross-attention. Used by ca with both modalities only.", panel=WHAT, least=1, most=100
    )
    attention_heads: int = option(8, "Heads of each cross-attention (section 3.2 of Sun 2023).", panel=WHAT, least=1)
    aux: str = option("none", "Auxiliary tasks that are trained beside the emotion.", choices=get_args(Auxiliary), panel=WHAT)
    aux_weights: tuple[float, float] = option(
        (1.0, 1.0), "a1 and a2 in L = L_MER + a1 L_aux1 + a2 L_aux2, such as 1,0.5.", kind=PAIR, panel=WHAT
    )
    dropout: float = option(
        0.1,
        "Probability of zeroing a value of the pooled fusion embedding while training; the encoders keep their own.",
        panel=TRAINED,
        least=0,
        below=1,
    )
    encoder_rate: float = option(2e-5, "Step size of AdamW for both encoders.", panel=TRAINED, above=0)
    fusion_rate: float = option(1e-4, "Step size of AdamW for what is trained from nothing.", panel=TRAINED, above=0)
    weight_decay: float = option(0.01, "Decay of AdamW, for matrices; biases and gains have none.", panel=TRAINED, least=0)
    warmup: float = option(
        0.1,
        "Share of all steps over which the step size rises; it falls linearly to zero after that.",
        panel=TRAINED,
        least=0,
        below=1,
    )
    class_weights: str = class_weights_option(panel=TRAINED)
    loss: str = loss_option(panel=TRAINED)
    focal_gamma: float = focal_gamma_option(panel=TRAINED)
    epochs: int = option(20, "Passes over the training part.", panel=TRAINED, least=1)
    batch: int = option(
        32,
        "Utterances whose gradients make one step, over all processes and accumulated batches together.",
        panel=TRAINED,
        least=1,
    )
    batch_seconds: float | None = option(
        None,
        "Padded audio of one forward pass on one device, in seconds; what is left of a step is accumulated. Default: 60 on a "
        "CPU, what the memory holds on a GPU.",
        panel=TRAINED,
        identity=False,
        above=0,
    )
    clip: float = option(1.0, "Gradients are scaled down to this norm; 0 leaves them.", panel=TRAINED, least=0)
    checkpointing: bool = option(
        False,
        "Recompute activations in the backward pass: a third more time, far less memory.",
        name="gradient_checkpointing",
        was=("checkpointing",),
        panel=TRAINED,
    )
    train_cnn: bool = option(False, "Train the convolutional front-end of the speech encoder, too.", panel=TRAINED)
    spec_augment: bool = option(
        False, "Mask spans of frames while training, as the checkpoint's config describes.", panel=TRAINED
    )
    max_seconds: float = option(
        20.0, "Longer utterances are cut here, and counted, while training and in the test.", panel=WHAT, above=0
    )
    text_tags: str = option(
        "drop", "What becomes of tags such as [LAUGHTER] in transcripts.", choices=get_args(TextTags), panel=WHAT
    )
    epoch_selection: str | None = option(
        None,
        "Weights that are tested: of the epoch with the lowest validation loss, or of the last. Default: validation where "
        "there is a validation part, else last.",
        choices=get_args(EpochSelection),
    )
    validation: str = option(
        "random",
        "What is held out to choose the epoch: a random share of the training utterances, one training session, whole groups of "
        "what is left out that make up the share, or none. A dev part of the given split goes before.",
        choices=get_args(HeldOut),
    )
    validation_share: float = option(
        0.1, "Share of the training utterances that random and group hold out; 0 is validation none.", least=0, below=1
    )
    text_disjoint: bool = option(False, "Train without sentences that the test part has too.")
    classes: str = classes_option()
    precision: str = option(
        "auto",
        "bfloat16 trains under autocast; auto does where the GPU has it; float32 never.",
        name="dtype",
        was=("precision",),
        choices=get_args(Precision),
    )
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
    keep: int = option(1, "Checkpoints kept on disk per run while it trains.", panel=KEPT, identity=False, least=1)
    checkpoint_minutes: float = option(
        10.0,
        "Minutes between two checkpoints, and the most that an interruption costs; 0 writes one after every step.",
        panel=KEPT,
        identity=False,
        least=0,
    )
    workers: int = option(
        2, "Threads that read and prepare audio ahead.", name="reader_threads", was=("workers",), identity=False, least=0
    )
    track: str | None = track_option(panel=KEPT)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            FinetuneError: naming the setting, what was given and what was expected.
        """
        object.__setattr__(self, "drop_class", tuple(sorted(self.drop_class)))
        if problems := list(problems_of(self)):
            raise FinetuneError("\n".join(problems))
        if len(self.aux_weights) != 2 or not all(math.isfinite(each) and each >= 0 for each in self.aux_weights):
            raise FinetuneError(f"aux_weights {self.aux_weights}: expected two numbers of 0 or more")
        self._check_validation()
        if self.aux != "none" and self.modality != "both":
            raise FinetuneError(
                f"aux {self.aux} with modality {self.modality}: both auxiliary tasks recombine audio with text; "
                "use modality both, or aux none"
            )
        if "1" in self.aux and self.batch < 2:
            raise FinetuneError(
                f"batch {self.batch} with aux {self.aux}: auxiliary task 1 pairs audio and text of different utterances of "
                "a batch, so that it needs at least 2; use a larger batch, or leave task 1 out"
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise FinetuneError(f"seeds {self.seeds}: expected one or more different numbers")

    def _check_validation(self) -> None:
        """An epoch can be chosen only by utterances that were held out."""
        if self.validation == "session" and self.validation_share == 0:
            raise FinetuneError(
                "validation_share 0 with validation session: a whole session is held out, whatever the share; "
                "use validation none to train on all, or leave the share away"
            )
        if self.epoch_selection == "validation" and not self.validates:
            why = "validation none" if self.validation == "none" else "validation_share 0"
            raise FinetuneError(
                f"epoch_selection validation with {why}: nothing is held out that could choose an epoch, and the test session "
                "never does; use epoch_selection last, or hold a part out with validation random or session"
            )

    @property
    def pass_seconds(self) -> float:
        """Padded audio of a forward pass, where no memory was measured."""
        return self.batch_seconds or PASS_SECONDS

    @property
    def validates(self) -> bool:
        """Whether a part of the training utterances is held out."""
        return self.validation == "session" or (self.validation != "none" and self.validation_share > 0)

    @property
    def chosen_by(self) -> str:
        """What chooses the epoch that is tested: `validation` or `last`."""
        return self.epoch_selection or ("validation" if self.validates else "last")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that are encoded, speech first."""
        return ("speech", "text") if self.modality == "both" else (self.modality,)

    @property
    def branches(self) -> tuple[str, ...]:
        """The encoders that are trained, as results name them."""
        return self.modalities

    def as_dict(self) -> dict[str, object]:
        """The fields as JSON knows them; what follows from others is said. That of the tracker is empty, whoever is told."""
        left_out = unsaid(self)
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}
        fields |= {"epoch_selection": self.chosen_by, "track": None}
        if not self.validates:
            fields |= {"validation": "none", "validation_share": 0.0}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    def used(self) -> frozenset[str]:
        """Fields that this row looks at; an option of another one would change nothing."""
        unused = set() if self.loss == "focal" else {"focal_gamma"}
        share = set() if self.validation == "session" else {"validation_share"}
        return frozenset(self.identity()) | (unsaid(self) - unused) | SPLIT_FIELDS | share

    def identity(self) -> dict[str, object]:
        """All fields that can change a number of this row; those that it does not use are left out."""
        left_out = {*number_free(FinetuneConfig), *SPLIT_FIELDS}
        if self.modality != "both":
            left_out |= {"fusion", "aux"}
            other = "text" if self.modality == "speech" else "speech"
            left_out |= {f"{other}_model", f"{other}_revision"}
        if self.modality != "both" or self.fusion != "ca":
            left_out |= {"fusion_layers", "attention_heads"}
        if self.aux == "none":
            left_out.add("aux_weights")
        if self.loss != "focal":
            left_out.add("focal_gamma")
        if self.modality == "text":
            left_out |= {"train_cnn", "spec_augment", "max_seconds"}
        if self.validation == "session" or not self.validates:
            left_out.add("validation_share")
        fields = {name: value for name, value in self.as_dict().items() if name not in left_out}
        return fields | {"classes": portable_name(self.classes)}

    def fingerprint(self) -> str:
        """Sha256 over what decides the numbers; seeds and folds are parts of a run's name and not of this."""
        left_out = {*number_free(FinetuneConfig), "seeds", "folds"}
        kept = {key: value for key, value in self.as_dict().items() if key not in left_out}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
