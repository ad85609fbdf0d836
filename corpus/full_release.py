"""What a full release of IEMOCAP holds, to compare a copy with.

The counts of angry, happy, excited, sad and neutral are those of the 5,531 utterances on which s3prl
(https://github.com/s3prl/s3prl at ec8064b) and EmoBox (https://github.com/emo-box/EmoBox at 08280f2) agree.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReleasedSession:
    """One session of the full release."""

    labels: dict[str, int]
    """Utterances of the five codes that make the usual four classes."""
    utterances: int
    """Utterances with any label."""
    dialogues: frozenset[str]
    """Names of the recordings."""


_SCRIPTS = ("script01_1", "script01_2", "script01_3", "script02_1", "script02_2", "script03_1", "script03_2")
_IN_TWO_PARTS = {"Ses03M_impro05", "Ses03M_impro08"}


def _dialogues(session: int) -> frozenset[str]:
    """Seven scripted and eight improvised recordings (seven in session 1) with markers on either actor."""
    improvised = [f"impro{number:02}" for number in range(1, 8 if session == 1 else 9)]
    names = {f"Ses0{session}{actor}_{scene}" for actor in "FM" for scene in (*improvised, *_SCRIPTS)}
    for name in _IN_TWO_PARTS & names:
        names = names - {name} | {f"{name}a", f"{name}b"}
    if session == 5:
        names.add("Ses05M_script01_1b")
    return frozenset(names)


def _released(session: int, utterances: int, *counts: int) -> ReleasedSession:
    labels: dict[str, int] = dict(zip(("ang", "hap", "exc", "sad", "neu"), counts, strict=True))
    return ReleasedSession(labels=labels, utterances=utterances, dialogues=_dialogues(session))


FULL_RELEASE = {
    "1": _released(1, 1819, 229, 135, 143, 194, 384),
    "2": _released(2, 1811, 137, 117, 210, 197, 362),
    "3": _released(3, 2136, 240, 135, 151, 305, 320),
    "4": _released(4, 2103, 327, 65, 238, 143, 258),
    "5": _released(5, 2170, 170, 143, 299, 245, 384),
}
"""Per session: counts and names."""

FULL_LABELS = {
    "ang": 1103,
    "hap": 595,
    "exc": 1041,
    "sad": 1084,
    "neu": 1708,
    "fru": 1849,
    "fea": 40,
    "sur": 107,
    "dis": 2,
    "oth": 3,
    "xxx": 2507,
}
"""All 10,039 utterances by label; beyond the first five the counts per session are not published."""

RELEASED_WITHOUT_ALIGNMENT = frozenset({"Ses03F_impro07_M030", "Ses03M_impro03_M001"})
"""The two utterances that the release has no alignment files for."""
