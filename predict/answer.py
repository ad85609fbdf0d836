"""What is said about one recording."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from mer.files.notebook_table import notebook_table
from mer.protocol.calibration import softmax


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The emotion of one recording, by all runs that were asked."""

    id: str
    """Which recording it is."""
    label: str
    """The most probable class, the first of equals."""
    probabilities: dict[str, float]
    """Class to probability: the mean over the runs of the softmax of each run's logits, over its temperature if calibrated."""
    agreement: float
    """Share of the runs whose own most probable class is `label`."""
    logits: dict[str, tuple[float, ...]]
    """Run, such as `fold1-seed0`, to its logits in the order of the classes."""
    seconds: float
    """Seconds of audio that were heard; 0 where only text is used."""
    notes: tuple[str, ...]
    """What was done to the recording, or may be wrong with it: conversions, cuts, alignments that failed."""

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in self._ordered)
        return f"<Prediction {self.id}: {shares}; {self.agreement:.0%} of {len(self.logits)} runs agree>"

    def _repr_html_(self) -> str:
        rows = [*((name, f"{share:.4f}") for name, share in self._ordered), *(("note", note) for note in self.notes)]
        return notebook_table(f"{self.id}: {self.label}", rows, heads=("class", "probability"))

    @property
    def _ordered(self) -> list[tuple[str, float]]:
        """Classes with their probabilities, the answer first."""
        return sorted(self.probabilities.items(), key=lambda each: (each[0] != self.label, -each[1]))


@dataclass(frozen=True, kw_only=True)
class Rating:
    """How one recording would be rated, by all runs that were asked."""

    id: str
    """Which recording it is."""
    ratings: dict[str, float]
    """Dimension to the mean over the runs, in the unit of the corpus that the run was trained on."""
    deviations: dict[str, float | None]
    """Dimension to the sample deviation over the runs; None for a single run."""
    runs: dict[str, tuple[float, ...]]
    """Run, such as `fold1-seed0`, to its ratings in the order of the dimensions."""
    seconds: float
    """Seconds of audio that were heard; 0 where only text is used."""
    notes: tuple[str, ...]
    """See `Prediction`."""

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value:.2f}" for name, value in self.ratings.items())
        return f"<Rating {self.id}: {told}; {len(self.runs)} runs>"

    def _repr_html_(self) -> str:
        spread = {name: "" if value is None else f"{value:.4f}" for name, value in self.deviations.items()}
        rows = [(name, f"{value:.4f}", spread[name]) for name, value in self.ratings.items()]
        return notebook_table(self.id, rows, heads=("dimension", "rating", "± runs"))


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A recording without an answer."""

    id: str
    """Which recording it is."""
    reason: str
    """Which file, what is wrong, what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """The logits of one recording, as one kind of model gives them."""

    logits: Float64[np.ndarray, "runs classes"]
    """Logits of each run, or its ratings."""
    seconds: float
    """Seconds of audio that were heard."""
    notes: tuple[str, ...]
    """See `Prediction`."""


def make_prediction(
    name: str,
    answer: Answer,
    runs: tuple[str, ...],
    classes: tuple[str, ...],
    temperatures: tuple[float, ...] | None = None,
) -> Prediction:
    """Average an answer over its runs.

    Args:
        name: id of the recording.
        answer: what the model said.
        runs: names of the rows of its logits.
        classes: names of their columns.
        temperatures: what the logits of each run are divided by; None leaves them as they are.
    """
    each = softmax(answer.logits if temperatures is None else answer.logits / np.array(temperatures)[:, None])
    mean = each.mean(0)
    best = int(mean.argmax())
    return Prediction(
        id=name,
        label=classes[best],
        probabilities=dict(zip(classes, mean.tolist(), strict=True)),
        agreement=float((each.argmax(1) == best).mean()),
        logits={run: tuple(row) for run, row in zip(runs, answer.logits.tolist(), strict=True)},
        seconds=answer.seconds,
        notes=answer.notes,
    )


def make_rating(name: str, answer: Answer, runs: tuple[str, ...], dimensions: tuple[str, ...]) -> Rating:
    """Average ratings over runs; arguments as for `make_prediction`."""
    several = len(answer.logits) > 1
    spread: list[float | None] = [*answer.logits.std(0, ddof=1).tolist()] if several else [None] * len(dimensions)
    return Rating(
        id=name,
        ratings=dict(zip(dimensions, answer.logits.mean(0).tolist(), strict=True)),
        deviations=dict(zip(dimensions, spread, strict=True)),
        runs={run: tuple(row) for run, row in zip(runs, answer.logits.tolist(), strict=True)},
        seconds=answer.seconds,
        notes=answer.notes,
    )
