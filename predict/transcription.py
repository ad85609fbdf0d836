"""Transcripts of recordings that bring none, from a speech recogniser."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mer.corpus import Utterance
from mer.extract import read_wave
from mer.predict.answer import Failure
from mer.predict.checks import RefusedError, listen
from mer.predict.on_the_fly import RATE
from mer.predict.predictor import MAX_SECONDS


@runtime_checkable  # beartype checks arguments by isinstance
class Writes(Protocol):
    """What writes down speech, such as what `open_transcriber` gives."""

    @property
    def name(self) -> str:
        """The model."""
        ...

    @property
    def window_seconds(self) -> float | None:
        """Seconds that are heard at once; None where speech is heard whole."""
        ...

    def __call__(self, wave: NDArray[np.float32]) -> str:
        """What is said in mono audio at 16 kHz; empty where no word is heard."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """Recordings with the transcripts that a recogniser wrote for them."""

    utterances: list[Utterance]
    """All that can be answered for as far as their audio is concerned, in their order; those with a text keep it."""
    texts: dict[str, str]
    """What was heard, by id, of those that had no text; empty where no word was heard."""
    failed: list[Failure]
    """Those whose audio cannot be heard, each with its reason."""
    cut: tuple[str, ...] = ()
    """Ids of recordings that are longer than the recogniser hears at once, so that a word at a cut may be wrong."""


def transcribe(
    utterances: Sequence[Utterance],
    transcriber: Writes,
    *,
    max_seconds: float = MAX_SECONDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Heard:
    """Write down what is said in every recording that has no text.

    Args:
        utterances: recordings.
        transcriber: what hears, such as `open_transcriber` gives.
        max_seconds: longer audio is refused, as `load` has it.
        progress: called with recordings done and in all.
    """
    found: list[Utterance] = []
    texts: dict[str, str] = {}
    failed: list[Failure] = []
    cut: list[str] = []
    for done, utterance in enumerate(utterances, start=1):
        if (utterance.text or "").strip():
            found.append(utterance)
        else:
            try:
                listen(utterance, hears=True, reads=False, max_seconds=max_seconds)
            except RefusedError as problem:
                failed.append(Failure(id=utterance.id, reason=str(problem)))
                continue
            wave = read_wave(utterance.wav, RATE, utterance.part).samples
            texts[utterance.id] = transcriber(wave)
            if transcriber.window_seconds is not None and len(wave) > transcriber.window_seconds * RATE:
                cut.append(utterance.id)
            found.append(dataclasses.replace(utterance, text=texts[utterance.id]))
        progress(done, len(utterances))
    return Heard(utterances=found, texts=texts, failed=failed, cut=tuple(cut))
