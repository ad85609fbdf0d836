"""One turn turned into a recording: speech, fillers, pauses, and the exact time of every phone."""

import random
import re
import unicodedata
from dataclasses import dataclass, replace

import numpy as np
import soxr
from numpy.typing import NDArray

from mer.corpus.synthetic.espeak import Delivery, Speech, Synthesizer
from mer.corpus.synthetic.phones import SpokenPhone, spoken_phones
from mer.corpus.utterance import CorpusError

SAMPLE_RATE = 16_000
"""Hz."""

_TAG = re.compile(r"\[(\w+)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenWord:
    """One word or filler with its phones."""

    text: str
    """Upper case without punctuation, or a filler such as `++LAUGHTER++`."""
    phones: tuple[SpokenPhone, ...]
    """At least one; their times count from the start of the recording."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What a microphone would have kept of a turn."""

    samples: NDArray[np.int16]
    """Mono, 16 kHz."""
    words: tuple[SpokenWord, ...]
    """In time order; pauses are what lies between them."""


def record(
    text: str,
    synthesizer: Synthesizer,
    voice: str,
    delivery: Delivery,
    *,
    padding: tuple[float, float],
    seed: str,
) -> Recording:
    """Speak one turn.

    Args:
        text: a transcript; tags such as `[LAUGHTER]` become sounds.
        synthesizer: a running engine.
        voice: espeak-ng voice.
        delivery: its prosody.
        padding: seconds of room noise before and after.
        seed: of the noise.

    Raises:
        CorpusError: espeak-ng did not say the words of the text one by one.
    """
    dice = random.Random(seed)
    noise = np.random.default_rng(dice.getrandbits(64))
    parts = [np.zeros(round(padding[0] * SAMPLE_RATE))]
    words: list[SpokenWord] = []
    for index, piece in enumerate(_TAG.split(text)):
        offset = sum(map(len, parts)) / SAMPLE_RATE
        if index % 2:
            sound = _filler(piece.upper(), synthesizer, voice, delivery, noise)
            end = offset + len(sound) / SAMPLE_RATE
            phone = SpokenPhone(symbol=f"+{piece.upper()}+", start=offset, end=end)
            words.append(SpokenWord(text=f"++{piece.upper()}++", phones=(phone,)))
            parts += [sound, np.zeros(SAMPLE_RATE // 20)]
        elif piece.strip():
            spoken, sound = _speak(" ".join(piece.split()), synthesizer, voice, delivery, offset)
            words += spoken
            parts.append(sound)
    parts.append(np.zeros(round(padding[1] * SAMPLE_RATE)))
    wave = np.concatenate(parts)
    wave += noise.normal(0.0, 10.0, len(wave))
    loudest = float(np.abs(wave).max())
    wave *= min(1.0, 32_000 / loudest)
    return Recording(samples=np.rint(wave).astype(np.int16), words=tuple(words))


def _speak(
    text: str, synthesizer: Synthesizer, voice: str, delivery: Delivery, offset: float
) -> tuple[list[SpokenWord], NDArray[np.float64]]:
    names = [_normalized(token) for token in text.split()]
    speech = synthesizer.speak(text, voice, delivery)
    words = []
    for index, name in enumerate(names):
        own = [phoneme for phoneme in speech.phonemes if phoneme.word == index]
        phones = tuple(
            replace(phone, start=phone.start + offset, end=phone.end + offset) for phone in spoken_phones(own, speech.sample_rate)
        )
        words.append(SpokenWord(text=name, phones=phones))
    if len(speech.word_positions) != len(names) or not all(word.phones for word in words):
        raise CorpusError(
            f"espeak-ng reported {len(speech.word_positions)} words for {text!r}, expected {len(names)}; rephrase the sentence"
        )
    return words, 0.6 * tilted_spectrum(_at_16_khz(speech), delivery.tilt)


def _at_16_khz(speech: Speech) -> NDArray[np.float64]:
    return np.asarray(soxr.resample(speech.samples.astype(np.float64), speech.sample_rate, SAMPLE_RATE))


def tilted_spectrum(wave: NDArray[np.float64], tilt: float) -> NDArray[np.float64]:
    """Tilt the spectrum by `tilt` dB per octave around 1 kHz; below 100 Hz the gain stays that of 100 Hz."""
    length = 1 << (len(wave) - 1).bit_length()
    octaves = np.log2(np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 100.0) / 1000.0)
    wider = np.fft.irfft(np.fft.rfft(wave, length) * 10 ** (tilt * octaves / 20), length)
    return np.asarray(wider[: len(wave)], dtype=np.float64)


def _filler(
    kind: str, synthesizer: Synthesizer, voice: str, delivery: Delivery, noise: np.random.Generator
) -> NDArray[np.float64]:
    match kind:
        case "LAUGHTER":
            laugh = synthesizer.speak("ha ha ha ha", voice, replace(delivery, rate=240, range=80))
            return _at_16_khz(laugh)
        case "GARBAGE":
            mumble = synthesizer.speak("mumbled words", voice, replace(delivery, volume=40))
            return _at_16_khz(mumble)[::-1]
        case "BREATHING":
            return noise.normal(0.0, 900.0, 6400) * np.hanning(6400)
        case "LIPSMACK":
            return noise.normal(0.0, 4000.0, 960) * np.exp(-np.arange(960) / 150)
        case _:
            raise CorpusError(f"no sound for the tag [{kind}]; one of LAUGHTER, BREATHING, GARBAGE, LIPSMACK")


def _normalized(token: str) -> str:
    plain = unicodedata.normalize("NFKD", token).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z']", "", plain.upper())
