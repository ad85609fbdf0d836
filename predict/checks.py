"""What is refused before a model hears it."""

from mer.corpus import Utterance
from mer.corpus.sound_quality import CONSTANT, ODD_SOUNDS, OPPOSITE, SILENCE
from mer.extract import AudioError, read_wave, seconds_of

UNHEARD = (SILENCE, CONSTANT, OPPOSITE)
"""Kinds of odd sound that leave nothing to answer for; the others are noted."""


class RefusedError(ValueError):
    """Why a recording cannot be answered for."""


def listen(utterance: Utterance, *, hears: bool, reads: bool, max_seconds: float) -> tuple[str, ...]:
    """What is done to a recording before it is heard, and what may be wrong with it, in words.

    Args:
        utterance: the recording.
        hears: whether its audio is used.
        reads: whether its text is used.
        max_seconds: longer audio is refused; encoders need memory with the square of its length.

    Raises:
        RefusedError: no text, no readable audio, too much of it, or nothing to hear in it.
    """
    if reads and not (utterance.text or "").strip():
        raise RefusedError(f"{utterance.id}: no text, and this run reads it; give the words that are spoken")
    if not hears:
        return ()
    try:
        seconds = seconds_of(utterance)
        if seconds > max_seconds:
            raise RefusedError(
                f"{utterance.wav}: {seconds:.1f} s, more than the {max_seconds:g} s that are taken at once; cut it into "
                "utterances, or raise --max-seconds"
            )
        wave = read_wave(utterance.wav, 16_000, utterance.part)
    except AudioError as problem:
        raise RefusedError(str(problem)) from None
    if unheard := next((ODD_SOUNDS[kind] for kind in UNHEARD if kind in wave.odd), None):
        raise RefusedError(f"{utterance.wav}: {unheard}; record it again")
    return (*wave.conversions(), *(ODD_SOUNDS[kind] for kind in wave.odd))
