"""The espeak-ng speech synthesiser, through ctypes: samples and the exact times of every word and phoneme.

https://github.com/espeak-ng/espeak-ng/blob/1.52.0/src/include/espeak-ng/speak_lib.h has the structures below.
"""

import contextlib
import ctypes
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.backends.interrupt import ctrl_c_waits
from mer.corpus.espeak_library import load_espeak
from mer.corpus.utterance import CorpusError

_UTF8 = 1
_WORD_EVENT, _PHONEME_EVENT = 1, 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How a text is spoken; the limits of the integers are espeak-ng's own."""

    rate: int = 175
    """Words per minute, 80 to 450."""
    pitch: int = 50
    """Base pitch relative to the voice's, 0 to 100; 50 is the voice's own."""
    range: int = 50
    """Pitch range, 0 (monotone) to 100."""
    volume: int = 100
    """Amplitude, 0 to 200; above 100 may clip."""
    tilt: float = 0.0
    """Change of the spectrum in dB per octave: loud voices are bright, weak ones dull. Not espeak-ng's
    business: applied to what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Phoneme:
    """One phoneme as espeak-ng spoke it, [start, end) in samples at `Speech.sample_rate`."""

    name: str
    """espeak-ng mnemonic without stress marks; `_` and `_:` are pauses."""
    word: int
    """Index of the word that it belongs to, -1 before the first."""
    start: int
    """First sample."""
    end: int
    """First sample of the next phoneme, or the number of samples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """What espeak-ng made of a text."""

    samples: NDArray[np.int16]
    """Mono."""
    sample_rate: int
    """Hz."""
    phonemes: tuple[Phoneme, ...]
    """In time order, contiguous, pauses included."""
    word_positions: tuple[int, ...]
    """Where each word event starts in the text, in characters from 0."""


@dataclass(kw_only=True)
class Synthesizer:
    """One loaded engine. Its answers depend on what it said before: flutter and noise run on."""

    library: Any
    """The ctypes library; its functions have no static types."""
    sample_rate: int
    """Hz, of everything it says."""
    version: str
    """espeak-ng's own version: another one may sound different."""
    _samples: list[NDArray[np.int16]] = field(default_factory=list)
    _events: list[tuple[int, int, int, str]] = field(default_factory=list)
    _voice: str = ""

    def speak(self, text: str, voice: str, delivery: Delivery) -> Speech:
        """Say `text`.

        Args:
            text: plain English; a single space between words.
            voice: espeak-ng voice with variant, for example `en-us+f3`.
            delivery: rate, pitch, range and volume.

        Raises:
            CorpusError: espeak-ng does not know the voice, or refuses the text.
        """
        if voice != self._voice:
            if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise CorpusError(f"espeak-ng has no voice {voice!r}; give one such as en-us, or en-us+f2 with a variant")
            self._voice = voice
        settings = {
            _RATE: delivery.rate,
            _VOLUME: delivery.volume,
            _PITCH: delivery.pitch,
            _RANGE: delivery.range,
        }
        for parameter, value in settings.items():
            self.library.espeak_SetParameter(parameter, value, 0)
        self._samples.clear()
        self._events.clear()
        # Between plain spaces "of the" is one dictionary entry, and its second word has no event.
        encoded = re.sub(r"(?<=\w) (?=\w)", "\N{NO-BREAK SPACE}", text).encode()
        with ctrl_c_waits():  # raised in a callback from C, it would be printed and lost
            refused = self.library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
            self.library.espeak_Synchronize()
        if refused:
            raise CorpusError(f"espeak-ng refused to say {text!r}; give plain English text")
        samples = np.concatenate([np.zeros(0, np.int16), *self._samples])
        return Speech(
            samples=samples,
            sample_rate=self.sample_rate,
            phonemes=_phonemes(self._events, len(samples)),
            word_positions=tuple(position for kind, position, _, _ in self._events if kind == _WORD_EVENT),
        )

    def _receive(self, wave: Any, samples: int, events: Any) -> int:
        if samples > 0:
            self._samples.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        index = 0
        while (event := events[index]).type != 0:
            if event.type in (_WORD_EVENT, _PHONEME_EVENT):
                name = event.id.string.decode("utf-8") if event.type == _PHONEME_EVENT else ""
                self._events.append((event.type, event.text_position - 1, event.sample, name))
            index += 1
        return 0


def _phonemes(events: list[tuple[int, int, int, str]], samples: int) -> tuple[Phoneme, ...]:
    word, starts = -1, []
    for kind, _, sample, name in events:
        if kind == _WORD_EVENT:
            word += 1
        else:
            starts.append((name.lstrip("',%=|"), word, sample))
    ends = [start for _, _, start in starts[1:]] + [samples]
    return tuple(
        Phoneme(name=name, word=word, start=start, end=end) for (name, word, start), end in zip(starts, ends, strict=True)
    )


@contextlib.contextmanager
def open_synthesizer(seed: int = 0) -> Iterator[Synthesizer]:
    """Load a fresh engine, so that the same texts in the same order give the same samples.

    Args:
        seed: of the engine's own noise, which would otherwise follow the clock.

    Raises:
        CorpusError: the package `espeakng-loader` is not installed, or its library does not start.
    """
    espeak = load_espeak(_loader())
    espeak.functions.espeak_ng_SetRandSeed(ctypes.c_long(seed + 1))
    synthesizer = Synthesizer(library=espeak.functions, sample_rate=espeak.sample_rate, version=espeak.version)
    receive = _Callback(synthesizer._receive)
    espeak.functions.espeak_SetSynthCallback(receive)
    try:
        yield synthesizer
    finally:
        espeak.functions.espeak_Terminate()


def _loader() -> ModuleType:
    try:
        return importlib.import_module("espeakng_loader")
    except ModuleNotFoundError:
        raise CorpusError(
            "the synthetic corpus needs the speech synthesiser espeak-ng, package espeakng_loader, "
            'which is not installed: pip install "mer-fusion[demo]"'
        ) from None
