"""Silent, constant, clipped and cancelling recordings are told from ordinary ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mer.corpus.sound_quality import CLIPPED, CONSTANT, LOW_RATE, OPPOSITE, SILENCE, odd_sounds

NOISE = np.random.default_rng(1).normal(scale=0.1, size=(16_000, 2)).astype(np.float32)
SINE = np.sin(2 * np.pi * 100 / 44_100 * np.arange(44_100)).astype(np.float32)
ULAW = np.sign(NOISE) * (np.exp2(np.round(np.log2(1 + 255 * np.abs(NOISE)) * 16) / 16) - 1) / 255
CASES: dict[str, tuple[NDArray[np.floating], tuple[str, ...]]] = {
    "speech-like noise": (NOISE[:, :1], ()),
    "two microphones": (NOISE, ()),
    "one dead channel of two": (NOISE * [1, 0], ()),
    "a slow sine at full scale": (SINE[:, None], ()),
    "companded": (ULAW, ()),
    "8 bits, quiet": (np.round(NOISE * 30) / 128, ()),
    "noise on a direct current": (NOISE + 0.3, ()),
    "zeros": (NOISE * 0, (SILENCE,)),
    "dither": (np.sign(NOISE) * 2**-15, (SILENCE,)),
    "direct current": (NOISE * 0 + 0.25, (CONSTANT,)),
    "stuck at full scale": (NOISE * 0 + 1, (CONSTANT,)),
    "opposite phase": (NOISE[:, :1] * [1, -1], (OPPOSITE,)),
    "opposite phase and direct current": (NOISE[:, :1] * [1, -0.9] + 0.2, (OPPOSITE,)),
    "clipped at full scale": (np.clip(NOISE * 8, -1, 1 - 2**-15), (CLIPPED,)),
    "clipped, then made quieter": (np.clip(NOISE * 8, -1, 1) * 0.4, (CLIPPED,)),
    "clipped on one channel and side": (np.clip(NOISE * [1, 8], -9, 0.9), (CLIPPED,)),
    "clipped, opposite phase": (np.clip(NOISE[:, :1] * [8, -8], -1, 1), (OPPOSITE, CLIPPED)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_holds_no_speech_is_told_from_what_may(name: str) -> None:
    samples, expected = CASES[name]
    assert odd_sounds(samples.astype(np.float32), 16_000) == expected
    assert odd_sounds(samples.astype(np.float32), 2_000) == (*expected, LOW_RATE)
