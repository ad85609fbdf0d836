"""Which folds and seeds a config asks for, of whatever is trained on a selection of utterances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from mer.heads.errors import HeadError
from mer.heads.training.selection import Selection
from mer.protocol import ClassMap, Fold, HeldOut, Partition, make_fold, make_partition, missing_classes, missing_note

OF_FOLDS = ("removed_for_text", "leave_out", "missing_classes", "notes")
"""Keys of a result that `PlannedRuns.facts` fills."""


@runtime_checkable
class ProtocolSettings(Protocol):
    """What decides the folds of a result; `HeadConfig` has it."""

    @property
    def leave_out(self) -> str:
        """What a fold is tested on, see `make_partition`."""
        ...

    @property
    def fold_count(self) -> int | None:
        """So many folds of several groups each."""
        ...

    @property
    def splits(self) -> str | None:
        """A file that gives the parts."""
        ...

    @property
    def folds(self) -> tuple[str, ...] | None:
        """Folds to train; None takes every one."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """One run per fold and seed."""
        ...

    @property
    def validation(self) -> str:
        """What chooses the epoch."""
        ...

    @property
    def validation_share(self) -> float:
        """Share of the training utterances that does."""
        ...

    @property
    def text_disjoint(self) -> bool:
        """Whether training loses sentences of the test part."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedRuns:
    """Every fold and seed, in the order of reporting, and what a reader of the result has to know of them."""

    runs: tuple[tuple[Fold, int], ...]
    """Folds with their seeds."""
    partition: Partition
    """What they are folds of."""
    said: tuple[str, ...] = ()
    """What a reader has to know of the utterances."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said before the training, and kept in the result."""
        missing = missing_note(missing_classes([fold for fold, _ in self.runs]))
        return (*self.partition.notes, *self.said, *([missing] if missing else []))

    def facts(self) -> dict[str, Any]:
        """What a result says of its folds."""
        folds = [fold for fold, _ in self.runs]
        return {
            "removed_for_text": {fold.test_session: fold.removed for fold in folds},
            "leave_out": self.partition.leave_out,
            "missing_classes": missing_classes(folds),
            "notes": list(self.notes),
        }


def partition_of(selection: Selection, config: ProtocolSettings) -> Partition:
    """The folds that a config asks for, before seeds; raises ProtocolError as `make_partition` does."""
    return make_partition(
        selection, selection.targets, leave_out=config.leave_out, fold_count=config.fold_count, splits=config.splits
    )


def plan_runs(selection: Selection, classes: ClassMap, config: ProtocolSettings) -> PlannedRuns:
    """Every fold and seed of a config.

    Raises:
        ProtocolError: data that cannot be split as asked.
    """
    partition = partition_of(selection, config)
    runs = [
        (
            make_fold(
                partition.cuts[name],
                sessions=selection.sessions,
                groups=partition.groups,
                targets=selection.targets,
                classes=classes.classes if selection.ratings is None else (),
                seed=seed,
                validation=cast(HeldOut, config.validation),
                share=config.validation_share,
                texts=selection.texts,
                text_disjoint=config.text_disjoint,
                trainable=selection.trainable,
            ),
            seed,
        )
        for name in partition.chosen(config.folds)
        for seed in config.seeds
    ]
    return PlannedRuns(runs=tuple(runs), partition=partition, said=selection.notes)


def refuse_shared_speakers(partition: Partition, by_speaker: Sequence[str]) -> None:
    """Statistics of a speaker are those of all that is heard of the speaker: no training may see a test utterance that way.

    Raises:
        HeadError: features that are normalised by speaker, and speakers who are trained on and tested.
    """
    if by_speaker and partition.shared:
        fold, speakers = next(iter(partition.shared.items()))
        raise HeadError(
            f"normalize speaker: {', '.join(speakers[:5])} speaks in the test and the training part of fold {fold}, so that "
            "statistics of the training would be taken from test utterances; use --normalize speech, or --leave-out speaker"
        )
