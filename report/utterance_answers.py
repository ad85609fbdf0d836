"""What a head says about an utterance, all its seeds together."""

from collections.abc import Sequence
from dataclasses import dataclass

from mer.results.run_files import PredictionRow


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanAnswer:
    """One head about one test utterance."""

    id: str
    """Utterance."""
    fold: str
    """Test session that it belongs to."""
    label: str
    """Its class."""
    prediction: str
    """Class with the highest mean probability, the first of equals."""
    probabilities: tuple[float, ...]
    """Mean over seeds, one per class."""
    right: int
    """Seeds that were right on their own."""
    seeds: int
    """Seeds that tested it."""

    @property
    def confidence(self) -> float:
        """Mean probability of the prediction."""
        return max(self.probabilities)


def mean_answers(predictions: Sequence[PredictionRow], classes: Sequence[str]) -> dict[str, MeanAnswer]:
    """Average the probabilities of each utterance over the seeds, p_c = sum_s p_sc / S.

    Args:
        predictions: of one head.
        classes: class names in the order of the probabilities.
    """
    found: dict[str, list[PredictionRow]] = {}
    for each in predictions:
        found.setdefault(each.id, []).append(each)
    return {name: _answer(rows, classes) for name, rows in found.items()}


def _answer(rows: Sequence[PredictionRow], classes: Sequence[str]) -> MeanAnswer:
    means = tuple(sum(column) / len(rows) for column in zip(*(row.probabilities for row in rows), strict=True))
    first = rows[0]
    return MeanAnswer(
        id=first.id,
        fold=first.fold,
        label=first.label,
        prediction=classes[max(range(len(means)), key=means.__getitem__)],
        probabilities=means,
        right=sum(row.prediction == row.label for row in rows),
        seeds=len(rows),
    )
