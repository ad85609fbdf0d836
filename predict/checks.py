"""What is refused before a model hears it."""

import numpy as np

from mer.corpus import Utterance
from mer.extract import AudioError, read_header, read_wave, seconds_of

SILENT = 1e-4
"""Peak of audio that is taken for silence: -80 dB of full scale, three steps of 16 bits."""


def refusal(utterance: Utterance, *, hears: bool, reads: bool, max_seconds: float) -> str | None:
    """Why a recording cannot be answered for, or None.

    Args:
        utterance: the recording.
        hears: whether its audio is used.
        reads: whether its text is used.
        max_seconds: longer audio is refused; encoders need memory with the square of its length.
    """
    if reads and not (utterance.text or "").strip():
        return f"{utterance.id}: no text, and this run reads it; give the words that are spoken"
    if not hears:
        return None
    try:
        seconds = seconds_of(utterance)
        if seconds > max_seconds:
            return (
                f"{utterance.wav}: {seconds:.1f} s, more than the {max_seconds:g} s that are taken at once; cut it into "
                "utterances, or raise --max-seconds"
            )
        samples = read_wave(utterance.wav, 16_000, utterance.part).samples
    except AudioError as problem:
        return str(problem)
    if float(np.abs(samples).max(initial=0.0)) < SILENT:
        return f"{utterance.wav}: silence (nothing above {20 * np.log10(SILENT):.0f} dB of full scale); record it again"
    return None


def conversions(utterance: Utterance, rate: int = 16_000) -> tuple[str, ...]:
    """What is done to a readable audio file before it is heard, in words."""
    header = read_header(utterance.wav)
    notes = []
    if header.channels != 1 and utterance.channel is None:
        notes.append(f"downmixed from {header.channels} channels")
    if header.sample_rate != rate:
        notes.append(f"resampled from {header.sample_rate} Hz")
    return tuple(notes)
