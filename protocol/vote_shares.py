"""What several annotators said of an utterance, as a distribution over the classes."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from mer.protocol.answers import Answers
from mer.protocol.classes import ClassMap

Votes = Sequence[Mapping[str, int]]


def vote_shares(votes: Votes, classes: ClassMap) -> Float64[np.ndarray, "utterances classes"]:
    """Share of each class in the votes for labels that belong to a class.

    Votes for other labels do not count: with classes angry and sad, two votes for ang, one for fru and one for sad are
    2/3 and 1/3. An utterance without a vote that counts has NaN.

    Args:
        votes: label to number of annotators, of each utterance.
        classes: which labels make which class.
    """
    counts = np.zeros((len(votes), len(classes.classes)), dtype=np.float64)
    for row, each in enumerate(votes):
        for label, count in each.items():
            if label in classes.mapping:
                counts[row, classes.classes.index(classes.mapping[label])] += count
    total = counts.sum(1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    return shares


def is_tied(votes: Mapping[str, int]) -> bool:
    """Whether annotators have voted, and no label has more votes than every other: there is no majority."""
    highest = sorted(votes.values())[-2:]
    return len(highest) == 2 and highest[0] == highest[1]


def vote_agreement(answers: Answers) -> float | None:
    """Mean of 1 - JSD(q, p) with the Jensen-Shannon divergence in bits (Lin 1991, eq. 4.1), which lies in [0, 1].

    q are the shares of the votes, p the probabilities. None without probabilities, or where no utterance has votes.
    """
    if answers.votes is None or answers.probabilities is None:
        return None
    voted = np.isfinite(answers.votes).all(1)
    if not voted.any():
        return None
    pairs = np.stack([answers.votes[voted], answers.probabilities[voted]])
    middle = pairs.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(pairs > 0, pairs * np.log2(pairs / middle), 0.0)
    return float(1 - terms.sum((0, 2)).mean() / 2)
