"""Alignments of recordings that bring none, made when a head needs them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.corpus import Alignment, AlignmentError, Utterance
from mer.corpus.aligner import AlignerChoice, AlignerOptions, OpenAligner
from mer.extract import read_wave

Aligner = Callable[[NDArray[np.float32], str], Alignment]
"""From mono audio at 16 kHz and its transcript to times; raises a ValueError of `mer.corpus` that says why it cannot."""

RATE = 16_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveAlignment:
    """An alignment that is on no disk."""

    wav: Path
    """The audio that it belongs to."""
    alignment: Alignment
    """The times."""
    kind: str = "own"
    """The aligner's name; `own` for a function of the user's."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The audio: there is no other file."""
        return (self.wav,)

    def read(self) -> Alignment:
        """The times."""
        return self.alignment


def aligned(utterance: Utterance, aligner: Aligner) -> tuple[Utterance, str | None]:
    """A recording with a new alignment, and what went wrong if there is none.

    One that cannot be aligned has one segment over all of it, as in extraction.

    Args:
        utterance: its audio must be readable.
        aligner: makes the alignment.
    """
    utterance = dataclasses.replace(utterance, alignment=None)
    if not (utterance.text or "").strip():
        return utterance, "not aligned: no text"
    try:
        times = aligner(read_wave(utterance.wav, RATE, utterance.part).samples, utterance.text or "")
    except AlignmentError as problem:
        return utterance, f"not aligned: {problem}"
    kind = aligner.name if isinstance(aligner, LiveAligner) else "own"
    return dataclasses.replace(utterance, alignment=LiveAlignment(wav=utterance.wav, alignment=times, kind=kind)), None


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveAligner:
    """An entry of `ALIGNERS`, opened."""

    name: str
    """The name of the entry."""
    opened: OpenAligner
    """What aligns."""

    def __call__(self, wave: NDArray[np.float32], text: str) -> Alignment:
        """The times of a text in mono audio at 16 kHz; raises AlignError if speech and text cannot be aligned."""
        return self.opened.align(wave, text).alignment


def live_aligner(name: str, options: AlignerOptions | None = None) -> Aligner:
    """An aligner of `mer align`, ready.

    Args:
        name: an entry of `ALIGNERS`, such as `pocketsphinx` or `ctc`.
        options: of the aligner, such as `AlignerOptions(ctc_model="facebook/wav2vec2-large-xlsr-53-german")`.

    Raises:
        AlignError: a package that is not installed, or an option that is missing.
        EncoderError: a model that is not to be had.
    """
    kind = AlignerChoice(name=name, options=options or AlignerOptions()).kind()
    _ = kind.title  # or an error that says what is not here
    return LiveAligner(name=name, opened=kind.open())


def pocketsphinx_aligner() -> Aligner:
    """The aligner of English.

    Raises:
        AlignError: a package of the extra `align` is not installed.
    """
    return live_aligner("pocketsphinx")
