"""Alignments of recordings that bring none, made when a head needs them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.corpus import Alignment, AlignmentError, Utterance
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

    @property
    def kind(self) -> str:
        """`pocketsphinx`."""
        return "pocketsphinx"

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
    return dataclasses.replace(utterance, alignment=LiveAlignment(wav=utterance.wav, alignment=times)), None


def pocketsphinx_aligner() -> Aligner:
    """The aligner of `mer align`.

    Raises:
        AlignError: pocketsphinx is not installed.
    """
    from mer.corpus.aligner import align, aligner_name

    aligner_name()
    return align
