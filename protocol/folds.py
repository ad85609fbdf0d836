"""Leave-one-session-out folds, and the part of the training utterances that chooses the epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mer.protocol.errors import ProtocolError
from mer.protocol.held_out import HeldOut
from mer.protocol.seeds import numpy_generator
from mer.protocol.text_overlap import shared_texts


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Row numbers of one split, sorted and disjoint. The test part chooses nothing."""

    test_session: str
    """The session that is left out; it names the fold."""
    train: NDArray[np.int64]
    """Rows that the weights and the normalisation statistics are made from."""
    validation: NDArray[np.int64]
    """Rows that choose the epoch; empty where nothing is held out."""
    test: NDArray[np.int64]
    """Every row of `test_session`."""
    removed: int = 0
    """Rows that `text_disjoint` took out of training and validation."""


def session_names(sessions: Sequence[str]) -> tuple[str, ...]:
    """The sessions of a corpus in fold order: numbers by value, then other names by spelling."""
    return tuple(sorted(set(sessions), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def make_fold(
    *,
    sessions: Sequence[str],
    speakers: Sequence[str],
    targets: NDArray[np.int64],
    classes: Sequence[str],
    test_session: str,
    seed: int,
    validation: HeldOut = "random",
    share: float = 0.1,
    texts: Sequence[str] | None = None,
    text_disjoint: bool = False,
) -> Fold:
    """One session for testing, the others for training and validation.

    `random` draws `share` of the training utterances without regard to class or speaker, anew for each (seed,
    session): Zhao 2022, section 3.1, "randomly selected 10% of the utterances in the training set"; nothing
    there says stratified, so it is not. Its speakers are also in the training part. `session` holds out one
    whole training session, the next one for the next seed, so that no validation speaker is trained on. `none`, or a
    share of 0, holds nothing out.

    `text_disjoint` takes out of both parts what `shared_texts` finds in the test session. It does so after the
    validation part is chosen: each part is the ordinary one less the shared sentences, so that a row with and a
    row without differ in nothing else.

    Args:
        sessions: session of each row.
        speakers: speaker of each row; a speaker of the test session may be in no other session.
        targets: class number of each row, 0 or more.
        classes: class names, for messages.
        test_session: the session to leave out.
        seed: decides the validation part together with `test_session`.
        validation: `random`, `session` or `none`.
        share: part of the training utterances that `random` takes; rounded, at least one utterance unless it is 0.
        texts: transcript of each row; only `text_disjoint` reads them.
        text_disjoint: keep sentences of the test session out of training and validation.

    Raises:
        ProtocolError: fewer than two sessions (three for `session`), an unknown session, a speaker on both
            sides, a class without training utterances, or `text_disjoint` without one text per row or with
            nothing left to validate on.
    """
    names = session_names(sessions)
    _check(names, test_session, validation, share)
    session = np.asarray(sessions, dtype=np.str_)
    rows = np.arange(len(session))
    test = rows[session == test_session]
    rest = rows[session != test_session]
    _check_speakers(sessions, speakers, test_session)
    held_out = _held_out(session[rest].tolist(), test_session, seed, validation, share)
    train, chooses, removed = rest[~held_out], rest[held_out], 0
    if text_disjoint:
        shared = shared_texts(_one_per_row(texts, len(rows)), rest, test)
        train, chooses, removed = np.setdiff1d(train, shared), np.setdiff1d(chooses, shared), len(shared)
    fold = Fold(test_session=test_session, train=train, validation=chooses, test=test, removed=removed)
    _check_filled(fold, targets, classes, seed, wanted=bool(held_out.any()))
    return fold


def _held_out(sessions: Sequence[str], test_session: str, seed: int, validation: HeldOut, share: float) -> NDArray[np.bool_]:
    """Which of the rows that are not tested on choose the epoch."""
    if validation == "session":
        others = session_names(sessions)
        return np.array([name == others[seed % len(others)] for name in sessions], dtype=np.bool_)
    if validation == "none" or share == 0:
        return np.zeros(len(sessions), dtype=np.bool_)
    count = min(max(1, round(share * len(sessions))), len(sessions) - 1)
    chosen = numpy_generator(seed, "validation", test_session).permutation(len(sessions))[:count]
    held_out = np.zeros(len(sessions), dtype=np.bool_)
    held_out[chosen] = True
    return held_out


def _one_per_row(texts: Sequence[str] | None, rows: int) -> Sequence[str]:
    if texts is None or len(texts) != rows:
        found = "none" if texts is None else f"{len(texts)}"
        raise ProtocolError(f"text-disjoint folds need the transcript of each of {rows} utterances, got {found}")
    return texts


def _check_filled(fold: Fold, targets: NDArray[np.int64], classes: Sequence[str], seed: int, *, wanted: bool) -> None:
    present = set(targets[fold.train].tolist())
    missing = [name for number, name in enumerate(classes) if number not in present]
    why = f" after {fold.removed} whose text is in the test session were removed" if fold.removed else ""
    if missing:
        raise ProtocolError(
            f"fold {fold.test_session} (seed {seed}): no training utterance of class {', '.join(missing)} "
            f"among {len(fold.train)}{why}; add data or choose other classes"
        )
    if fold.removed and wanted and not len(fold.validation):
        raise ProtocolError(
            f"fold {fold.test_session} (seed {seed}): no validation utterance is left{why}; "
            "use a larger validation share or leave text-disjoint off"
        )


def _check(names: tuple[str, ...], test_session: str, validation: HeldOut, share: float) -> None:
    needed = 3 if validation == "session" else 2
    if validation not in get_args(HeldOut):
        raise ProtocolError(f"unknown validation {validation!r}, expected one of {', '.join(get_args(HeldOut))}")
    if not 0 <= share < 1:
        raise ProtocolError(f"the validation share must lie between 0 and 1, got {share}")
    if len(names) < needed:
        raise ProtocolError(
            f"leaving one session out with validation {validation!r} needs at least {needed} sessions, "
            f"found {len(names)} ({', '.join(names)})"
        )
    if test_session not in names:
        raise ProtocolError(f"there is no session {test_session!r} to test on, expected one of {', '.join(names)}")


def _check_speakers(sessions: Sequence[str], speakers: Sequence[str], test_session: str) -> None:
    inside = {speaker for session, speaker in zip(sessions, speakers, strict=True) if session == test_session}
    outside = {speaker for session, speaker in zip(sessions, speakers, strict=True) if session != test_session}
    shared = sorted(inside & outside)
    if shared:
        raise ProtocolError(
            f"speaker {', '.join(shared)} speaks in session {test_session} and in another one, so that "
            "testing on it is not speaker independent; give such sessions one name"
        )
