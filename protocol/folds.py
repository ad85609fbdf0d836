"""Leave-one-session-out folds, and the part of the training utterances that chooses the epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mer.protocol.errors import ProtocolError
from mer.protocol.seeds import numpy_generator

Validation = Literal["random", "session"]
"""How the validation part is chosen: a random share of the training utterances, or one whole training
session."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Row numbers of one split, sorted and disjoint. The test part chooses nothing."""

    test_session: str
    """The session that is left out; it names the fold."""
    train: NDArray[np.int64]
    """Rows that the weights and the normalisation statistics are made from."""
    validation: NDArray[np.int64]
    """Rows that choose the epoch."""
    test: NDArray[np.int64]
    """Every row of `test_session`."""


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
    validation: Validation = "random",
    share: float = 0.1,
) -> Fold:
    """One session for testing, the others for training and validation.

    `random` draws `share` of the training utterances without regard to class or speaker, anew for each (seed,
    session): Zhao 2022, section 3.1, "randomly selected 10% of the utterances in the training set"; nothing
    there says stratified, so it is not. Its speakers are also in the training part. `session` holds out one
    whole training session, the next one for the next seed, so that no validation speaker is trained on.

    Args:
        sessions: session of each row.
        speakers: speaker of each row; a speaker of the test session may be in no other session.
        targets: class number of each row, 0 or more.
        classes: class names, for messages.
        test_session: the session to leave out.
        seed: decides the validation part together with `test_session`.
        validation: `random` or `session`.
        share: part of the training utterances that `random` takes; rounded, at least one utterance.

    Raises:
        ProtocolError: fewer than two sessions (three for `session`), an unknown session, a speaker on both
            sides, or a class without training utterances.
    """
    names = session_names(sessions)
    _check(names, test_session, validation, share)
    session = np.asarray(sessions, dtype=np.str_)
    rows = np.arange(len(session))
    test = rows[session == test_session]
    rest = rows[session != test_session]
    _check_speakers(sessions, speakers, test_session)
    if validation == "session":
        others = [name for name in names if name != test_session]
        held_out = session[rest] == others[seed % len(others)]
    else:
        count = min(max(1, round(share * len(rest))), len(rest) - 1)
        chosen = numpy_generator(seed, "validation", test_session).permutation(len(rest))[:count]
        held_out = np.zeros(len(rest), dtype=np.bool_)
        held_out[chosen] = True
    fold = Fold(test_session=test_session, train=rest[~held_out], validation=rest[held_out], test=test)
    present = set(targets[fold.train].tolist())
    missing = [name for number, name in enumerate(classes) if number not in present]
    if missing:
        raise ProtocolError(
            f"fold {test_session} (seed {seed}): no training utterance of class {', '.join(missing)} "
            f"among {len(fold.train)}; add data or choose other classes"
        )
    return fold


def _check(names: tuple[str, ...], test_session: str, validation: Validation, share: float) -> None:
    needed = 3 if validation == "session" else 2
    if validation not in get_args(Validation):
        raise ProtocolError(f"unknown validation {validation!r}, expected one of {', '.join(get_args(Validation))}")
    if not 0 < share < 1:
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
