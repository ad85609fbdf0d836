"""Ctrl-C while espeak-ng speaks: an exception in a callback from C would be printed and lost."""

import signal
from typing import Any

import pytest

from mer.corpus.synthetic.espeak import Delivery, Synthesizer


class InterruptedLibrary:
    """Speaks nothing; Ctrl-C is pressed in the middle of it."""

    def __init__(self) -> None:
        self.finished = False

    def espeak_SetVoiceByName(self, name: bytes) -> int:  # noqa: N802
        return 0

    def espeak_SetParameter(self, parameter: int, value: int, relative: int) -> int:  # noqa: N802
        return 0

    def espeak_Synth(self, *arguments: Any) -> int:  # noqa: N802
        signal.raise_signal(signal.SIGINT)
        return 0

    def espeak_Synchronize(self) -> int:  # noqa: N802
        self.finished = True
        return 0


def test_ctrl_c_waits_until_the_sentence_is_spoken_and_is_then_raised() -> None:
    library = InterruptedLibrary()
    before = signal.getsignal(signal.SIGINT)
    synthesizer = Synthesizer(library=library, sample_rate=22_050, version="0")
    with pytest.raises(KeyboardInterrupt):
        synthesizer.speak("Hello there.", "en-us", Delivery(rate=170, pitch=50, range=50, volume=100))
    assert library.finished
    assert signal.getsignal(signal.SIGINT) is before
