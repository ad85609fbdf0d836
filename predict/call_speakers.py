"""Who speaks in the recordings of one call, for heads that are normalised by speaker."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.corpus import Utterance
from mer.heads import Statistics
from mer.heads.features.feature_source import as_tensors
from mer.heads.features.speaker_units import standardise
from mer.heads.features.statistics import RunningStatistics

FEWEST = 2
"""Recordings of a speaker: normalised by itself alone, a recording of one unit is all zeros, and of few little else."""


class CallSpeakers:
    """Statistics of each speaker of a call, over all recordings that the call brings of that speaker.

    Where no recording names a speaker, all are taken as one speaker's; where only some do, the others have no answer.
    """

    def __init__(self, utterances: Sequence[Utterance], granularities: Collection[str]) -> None:
        """Nothing is heard yet.

        Args:
            utterances: all recordings of the call; `speaker` is empty where nobody named one.
            granularities: those that are normalised by speaker.
        """
        self._named = any(each.speaker for each in utterances)
        self._granularities = tuple(granularities)
        self._running: dict[tuple[str, str], RunningStatistics] = {}
        self._results: dict[tuple[str, str], Statistics] = {}

    def hear(self, utterance: Utterance, units: Mapping[str, NDArray[Any]]) -> None:
        """Take in the units (units, layers, dim) of a recording, granularity by granularity."""
        for name in self._granularities:
            key = (utterance.speaker, name)
            if key not in self._running:
                self._running[key] = RunningStatistics(*units[name].shape[1:])
            self._running[key].add(*as_tensors([units[name]]))

    def refusal(self, utterance: Utterance) -> str | None:
        """Why a recording that was heard cannot be normalised; None if it can."""
        if self._named and not utterance.speaker:
            return (
                f"{utterance.id}: names no speaker, and others of this call do; the run is normalised by speaker: name one in "
                "the column `speaker`"
            )
        count = self._count(utterance)
        if count >= FEWEST:
            return None
        whose = f"speaker {utterance.speaker}" if utterance.speaker else "its speaker"
        return (
            f"{utterance.id}: the run is normalised by speaker, over all recordings of a speaker, and this is the only one of "
            f"{whose} in this call; give {FEWEST} or more together, as a folder or a list, or take a run that was trained with "
            "--normalize speech"
        )

    def notes(self, utterance: Utterance) -> tuple[str, ...]:
        """What was assumed of a recording."""
        if self._named:
            return ()
        return (f"no speaker is named: normalised over all {self._count(utterance)} recordings as one speaker's",)

    def standardise(self, name: str, utterance: Utterance, units: NDArray[Any]) -> NDArray[np.float32]:
        """Units of a recording, normalised by its speaker."""
        key = (utterance.speaker, name)
        if key not in self._results:
            self._results[key] = self._running[key].result()
        return standardise(units, self._results[key])

    def _count(self, utterance: Utterance) -> int:
        return self._running[utterance.speaker, self._granularities[0]].utterances
