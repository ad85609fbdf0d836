"""What was said about some test utterances: all that a measure can be computed of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Truth, prediction and, where they are known, probabilities of some utterances."""

    truth: Int64[np.ndarray, " utterances"]
    """Class numbers."""
    prediction: Int64[np.ndarray, " utterances"]
    """Class numbers."""
    probabilities: Float64[np.ndarray, "utterances classes"] | None = None
    """Those of each class, adding up to 1; None where only the predictions are known."""
    votes: Float64[np.ndarray, "utterances classes"] | None = None
    """Shares of the annotators' votes, NaN where none counts; None where nobody knows of votes."""
    scaled: Float64[np.ndarray, "utterances classes"] | None = None
    """Probabilities at the temperature of the validation part; None where none was fitted."""

    def chosen(self, which: Bool[np.ndarray, " utterances"]) -> "Answers":
        """Those about some of the utterances."""
        columns: dict[str, Any] = {name: None if each is None else each[which] for name, each in _columns(self).items()}
        return Answers(**columns)


def together(parts: Sequence[Answers]) -> Answers:
    """Answers of several folds as one; probabilities only where all parts have them."""
    columns = [_columns(part) for part in parts]
    parts_of = {name: [each[name] for each in columns] for name in columns[0]}
    joined: dict[str, Any] = {
        name: None if any(part is None for part in each) else np.concatenate(each) for name, each in parts_of.items()
    }
    return Answers(**joined)


def _columns(answers: Answers) -> dict[str, Any]:
    return {name: getattr(answers, name) for name in Answers.__dataclass_fields__}
