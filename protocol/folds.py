"""A fold for one seed: a cut, and the part of its training utterances that chooses the epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mer.protocol.errors import ProtocolError
from mer.protocol.grouped import group_names
from mer.protocol.held_out import HeldOut
from mer.protocol.partition import Cut
from mer.protocol.seeds import numpy_generator
from mer.protocol.text_overlap import shared_texts


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Row numbers of one split, sorted and disjoint. The test part chooses nothing."""

    test_session: str
    """The session, speaker, test part or number that names the fold."""
    train: NDArray[np.int64]
    """Rows that the weights and the normalisation statistics are made from."""
    validation: NDArray[np.int64]
    """Rows that choose the epoch; empty where nothing is held out."""
    test: NDArray[np.int64]
    """Every row that is tested."""
    removed: int = 0
    """Rows that `text_disjoint` took out of training and validation."""
    missing: tuple[str, ...] = ()
    """Classes without a training utterance: what is of them is told wrong, always."""


def make_fold(
    cut: Cut,
    *,
    sessions: Sequence[str],
    groups: Sequence[str],
    targets: NDArray[np.int64],
    classes: Sequence[str],
    seed: int,
    validation: HeldOut = "random",
    share: float = 0.1,
    texts: Sequence[str] | None = None,
    text_disjoint: bool = False,
    trainable: NDArray[np.bool_] | None = None,
) -> Fold:
    """The cut with a validation part.

    A dev part of the corpus' own validates, for every seed, unless `validation` is `none`. Otherwise `random` draws `share` of
    the training utterances without regard to class or speaker, anew for each (seed, fold): Zhao 2022, section 3.1, "randomly
    selected 10% of the utterances in the training set"; nothing there says stratified, so it is not. Its speakers are also in
    the training part. `session` holds out one whole training session, the next one for the next seed, so that no validation
    speaker is trained on. `group` draws whole groups, until they hold `share` of the training utterances; one group at least
    is trained on. `none`, or a share of 0, holds nothing out.

    `text_disjoint` takes out of both parts what `shared_texts` finds in the test part. It does so after the
    validation part is chosen: each part is the ordinary one less the shared sentences, so that a row with and a
    row without differ in nothing else. The same holds for rows without a class, which are trained on unless their session or
    group validates, and for those that are not `trainable`.

    Args:
        cut: what is tested, and what may be trained on.
        sessions: session of each row.
        groups: group of each row; only `group` reads them.
        targets: class number of each row; below 0 one without a class, which is trained on only.
        classes: class names, for messages; none where ratings are learned, which one utterance is enough for.
        seed: decides the validation part together with the name of the cut.
        validation: `random`, `session`, `group` or `none`.
        share: part of the training utterances that `random` and `group` take; rounded, at least one utterance unless it is 0.
        texts: transcript of each row; only `text_disjoint` reads them.
        text_disjoint: keep sentences of the test part out of training and validation.
        trainable: rows that can be trained on and validate; None for all.

    Raises:
        ProtocolError: fewer than two sessions (groups) to train on for `session` (`group`), fewer than two classes left to train
            on, or `text_disjoint` without one text per row or with nothing left to validate on.
    """
    _check(validation, share)
    train, chooses = _parts(cut, targets, sessions, groups, seed, validation, share)
    wanted, removed = len(chooses), 0
    if trainable is not None:
        train, chooses = train[trainable[train]], chooses[trainable[chooses]]
    if text_disjoint:
        rest = np.union1d(train, chooses)
        shared = shared_texts(_one_per_row(texts, len(sessions)), rest, cut.test)
        train, chooses, removed = np.setdiff1d(train, shared), np.setdiff1d(chooses, shared), len(shared)
    present = set(targets[train].tolist()) - {-1}
    missing = tuple(name for number, name in enumerate(classes) if number not in present)
    fold = Fold(test_session=cut.name, train=train, validation=chooses, test=cut.test, removed=removed, missing=missing)
    _check_filled(fold, len(present), seed, least=2 if classes else 1, wanted=bool(wanted))
    return fold


def _parts(
    cut: Cut,
    targets: NDArray[np.int64],
    sessions: Sequence[str],
    groups: Sequence[str],
    seed: int,
    validation: HeldOut,
    share: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What trains and what chooses the epoch."""
    classed = targets[cut.train] >= 0
    extra, train, chooses = cut.train[~classed], cut.train[classed], cut.dev
    if validation == "none" or share == 0:
        chooses = chooses[:0]
    elif not len(chooses):
        held_out = _held_out(train, sessions, groups, cut.name, seed, validation, share)
        train, chooses = train[~held_out], train[held_out]
        extra = _beside(extra, chooses, {"session": sessions, "group": groups}.get(validation))
    return np.union1d(train, extra), chooses


def missing_classes(folds: Sequence[Fold]) -> dict[str, list[str]]:
    """Classes that some seed of a fold has no training utterance of, by fold; folds without are left out."""
    found: dict[str, dict[str, None]] = {}
    for fold in folds:
        found.setdefault(fold.test_session, {}).update(dict.fromkeys(fold.missing))
    return {name: list(classes) for name, classes in found.items() if classes}


def missing_note(missing: dict[str, list[str]]) -> str | None:
    """What a reader has to know of classes that are not trained on, and what leaves them out."""
    if not missing:
        return None
    told = "; ".join(f"{', '.join(classes)} in fold {fold}" for fold, classes in list(missing.items())[:5])
    more = f" and {len(missing) - 5} folds more" if len(missing) > 5 else ""
    names = ",".join(dict.fromkeys(name for classes in missing.values() for name in classes))
    return (
        f"no training utterance of class {told}{more}: what is of it is told wrong; leave it out with --drop-class {names} "
        "or --min-per-class, or make fewer folds with --fold-count"
    )


def _held_out(
    rows: NDArray[np.int64],
    sessions: Sequence[str],
    groups: Sequence[str],
    name: str,
    seed: int,
    validation: HeldOut,
    share: float,
) -> NDArray[np.bool_]:
    """Which of the rows that may be trained on choose the epoch."""
    if validation == "random":
        chosen = numpy_generator(seed, "validation", name).permutation(len(rows))[: _wanted(len(rows), share)]
        held_out = np.zeros(len(rows), dtype=np.bool_)
        held_out[chosen] = True
        return held_out
    own = [(sessions if validation == "session" else groups)[row] for row in rows.tolist()]
    others = group_names(own)  # pyright: ignore[reportArgumentType]
    if len(others) < 2 or "" in others:
        raise ProtocolError(
            f"fold {name}: validation {validation!r} holds whole {validation}s out, and the training part has "
            f"{'utterances without one' if '' in others else f'{len(others)} ({others[0]})'}: use --validation random"  # pyright: ignore[reportGeneralTypeIssues]
        )
    if validation == "session":
        return np.array([each == others[seed % len(others)] for each in own], dtype=np.bool_)
    order = [others[place] for place in numpy_generator(seed, "validation", name).permutation(len(others))]
    held, wanted = set[str](), _wanted(len(rows), share)
    for each in order[:-1]:
        if sum(group in held for group in own) >= wanted:
            break
        held.add(each)
    return np.array([each in held for each in own], dtype=np.bool_)


def _beside(extra: NDArray[np.int64], chooses: NDArray[np.int64], groups: Sequence[str] | None) -> NDArray[np.int64]:
    """Rows without a class that are in no group that is held out."""
    held = set() if groups is None else {groups[row] for row in chooses.tolist()}
    return np.array([row for row in extra.tolist() if groups is None or groups[row] not in held], dtype=np.int64)


def _wanted(rows: int, share: float) -> int:
    return min(max(1, round(share * rows)), rows - 1)


def _one_per_row(texts: Sequence[str] | None, rows: int) -> Sequence[str]:
    if texts is None or len(texts) != rows:
        found = "none" if texts is None else f"{len(texts)}"
        raise ProtocolError(f"text-disjoint folds need the transcript of each of {rows} utterances, got {found}")
    return texts


def _check_filled(fold: Fold, present: int, seed: int, *, least: int, wanted: bool) -> None:
    why = f" after {fold.removed} whose text is in the test part were removed" if fold.removed else ""
    if present < least:
        raise ProtocolError(
            f"fold {fold.test_session} (seed {seed}): no training utterance of class {', '.join(fold.missing)} "
            f"among {len(fold.train)}{why}, and a training needs two classes; leave out another group (--leave-out), make fewer "
            "folds (--fold-count), or choose other --classes"
        )
    if wanted and not len(fold.validation):
        raise ProtocolError(
            f"fold {fold.test_session} (seed {seed}): no validation utterance is left{why}; "
            "use a larger validation share, or leave text-disjoint or soft targets off"
        )


def _check(validation: HeldOut, share: float) -> None:
    if validation not in get_args(HeldOut):
        raise ProtocolError(f"unknown validation {validation!r}, expected one of {', '.join(get_args(HeldOut))}")
    if not 0 <= share < 1:
        raise ProtocolError(f"the validation share must lie between 0 and 1, got {share}")
