"""What no aligner can align, whatever it is: too much speech, none, or samples that are no numbers."""

import numpy as np
from jaxtyping import Float32

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.aligner_kind import SAMPLE_RATE

SILENCE = 1e-4
"""Largest absolute sample of silence, full scale = 1: -80 dB."""


def check_speech(wave: Float32[np.ndarray, " samples"], most_seconds: float) -> None:
    """Refuse speech that cannot be aligned.

    Args:
        wave: at `SAMPLE_RATE`.
        most_seconds: the longest speech that the aligner takes.

    Raises:
        AlignError: speech that is too long, silent, or not finite.
    """
    seconds = len(wave) / SAMPLE_RATE
    if seconds > most_seconds:
        raise AlignError(f"{seconds:.0f} s of speech; the aligner takes {most_seconds:.0f} s at most: cut it at pauses")
    if not np.isfinite(wave).all():
        raise AlignError("samples that are not finite: write the audio file again")
    if not np.any(np.abs(wave) > SILENCE):
        raise AlignError(f"{seconds:.2f} s of silence: there is nothing to align")
