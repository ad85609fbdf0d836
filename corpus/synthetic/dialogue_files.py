"""The bytes of `EmoEvaluation/<dialogue>.txt` and `transcriptions/<dialogue>.txt`."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"

CATEGORIES = {
    "ang": "Anger",
    "hap": "Happiness",
    "exc": "Excited",
    "sad": "Sadness",
    "neu": "Neutral",
    "fru": "Frustration",
    "fea": "Fear",
    "sur": "Surprise",
    "dis": "Disgust",
    "oth": "Other",
}
"""Label -> the word that raters' lines use for it."""

_AFFECT = {
    "ang": (2, 4, 4),
    "hap": (4, 3, 3),
    "exc": (4, 4, 3),
    "sad": (2, 2, 2),
    "neu": (3, 2, 3),
    "fru": (2, 3, 3),
}
"""Label -> usual valence, activation and dominance, 1 to 5; the others are in the middle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedTurn:
    """One utterance with its place in the dialogue."""

    id: str
    """Utterance id."""
    label: str
    """Consensus label."""
    text: str
    """Transcript."""
    start: float
    """Seconds from the start of the dialogue."""
    end: float
    """Seconds; `end - start` is the length of the sound to 0.1 ms."""


def emo_evaluation(turns: Sequence[TimedTurn], seed: str) -> str:
    """One block per turn: summary, then every rater, consistent with the summary.

    Args:
        turns: in the order of the file.
        seed: of the raters' minds.
    """
    dice = random.Random(seed)
    blocks = [HEADER, "\n"]
    for turn in turns:
        dimensional, affect = _dimensional_raters(turn, dice)
        valence, activation, dominance = affect
        blocks.append(
            f"[{turn.start:.4f} - {turn.end:.4f}]\t{turn.id}\t{turn.label}\t[{valence:.4f}, {activation:.4f}, {dominance:.4f}]\n"
        )
        blocks += [*_categorical_raters(turn, dice), *dimensional, "\n"]
    return "".join(blocks)


def _categorical_raters(turn: TimedTurn, dice: random.Random) -> list[str]:
    names = list(CATEGORIES)
    if turn.label == "xxx":
        votes = [[name] for name in dice.sample(names, 3)]
    else:
        others = [name for name in names if name != turn.label]
        votes = [[turn.label], [turn.label], [turn.label if dice.random() < 0.6 else dice.choice(others)]]
        if dice.random() < 0.1:
            votes[0].append(dice.choice([name for name in others if [name] != votes[2]]))
        dice.shuffle(votes)
    own = turn.label if turn.label in CATEGORIES and dice.random() < 0.8 else dice.choice(names)
    raters = zip(dice.sample(("E1", "E2", "E3", "E4"), 3), votes, strict=True)
    lines = [f"C-{rater}:\t{' '.join(f'{CATEGORIES[name]};' for name in chosen)}\t()\n" for rater, chosen in sorted(raters)]
    return [
        *lines,
        f"C-{_self(turn)}:\t{CATEGORIES[own]};\t({'(acting) :)' if dice.random() < 0.1 else ''})\n",
    ]


def _dimensional_raters(turn: TimedTurn, dice: random.Random) -> tuple[list[str], tuple[float, float, float]]:
    usual = _AFFECT.get(turn.label, (3, 3, 3))
    ratings = [tuple(min(max(value + dice.choice((-1, 0, 0, 1)), 1), 5) for value in usual) for _ in range(3)]
    missing = dice.randrange(2) if turn.id.endswith("script02_2_M000") or dice.random() < 0.02 else None
    raters = [*sorted(dice.sample(("E2", "E3", "E4", "E5"), 2)), _self(turn)]
    lines = [
        f"A-{rater}:\tval {valence}; act {activation}; dom  {'' if index == missing else dominance};\t()\n"
        for index, (rater, (valence, activation, dominance)) in enumerate(zip(raters, ratings, strict=True))
    ]
    dominances = [rating[2] for index, rating in enumerate(ratings[:2]) if index != missing]
    means = [sum(rating[axis] for rating in ratings[:2]) / 2 for axis in (0, 1)]
    return lines, (means[0], means[1], sum(dominances) / len(dominances))


def _self(turn: TimedTurn) -> str:
    return f"{turn.id.rsplit('_', 1)[1][0]}{turn.id[4]}"


def transcription(turns: Sequence[TimedTurn], extra: Sequence[tuple[int, str]] = ()) -> str:
    """One line per turn, and lines that belong to no labelled turn.

    Args:
        turns: in the order of the file.
        extra: whole lines without newline, and before which turn they stand.
    """
    lines = [f"{turn.id} [{turn.start:08.4f}-{turn.end:08.4f}]: {turn.text}\n" for turn in turns]
    for position, line in sorted(extra, reverse=True):
        lines.insert(min(position, len(lines)), f"{line}\n")
    return "".join(lines)
