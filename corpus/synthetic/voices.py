"""Who speaks, and how an emotion sounds: ten espeak-ng voices and a delivery per emotion."""

import random
from dataclasses import dataclass

from mer.corpus.synthetic.espeak import Delivery


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """One speaker."""

    name: str
    """espeak-ng voice with variant."""
    pitch: int = 0
    """Added to every delivery's pitch, so that no two speakers share a base."""


VOICES: dict[str, Voice] = {
    "1F": Voice(name="en-us+f1"),
    "1M": Voice(name="en-us+m1"),
    "2F": Voice(name="en-us+f2", pitch=-4),
    "2M": Voice(name="en-us+m3"),
    "3F": Voice(name="en-us+f3", pitch=-6),
    "3M": Voice(name="en-us+m5", pitch=6),
    "4F": Voice(name="en-us+f4", pitch=10),
    "4M": Voice(name="en-us+m6", pitch=3),
    "5F": Voice(name="en-us+linda", pitch=-10),
    "5M": Voice(name="en-us+m2", pitch=-3),
}
"""The ten speakers, session digit and gender, as in IEMOCAP."""

_Prosody = tuple[float, float, float, float, float]

PROSODY: dict[str, _Prosody] = {
    "ang": (205, 60, 70, 100, 3.5),
    "hap": (185, 72, 95, 85, 1.0),
    "sad": (125, 38, 15, 50, -3.5),
    "neu": (165, 48, 40, 75, -0.7),
    "fru": (190, 52, 60, 90, 2.0),
}
"""Rate, pitch, range, volume and tilt of a clear delivery, in the units of `Delivery`."""

NOISE = (10.0, 4.0, 8.0, 6.0, 1.0)
"""Standard deviations of the same five, from turn to turn."""


def deliver(label: str, voice: Voice, *, ambiguous: bool, dice: random.Random) -> Delivery:
    """How this voice says a turn.

    Args:
        label: a corpus label; `exc` sounds like `hap`, labels without prosody of their own like a mixture.
        voice: its own pitch is added.
        ambiguous: halfway between this emotion and another one.
        dice: decides the other emotion and the noise.
    """
    emotion = "hap" if label == "exc" else label
    target = PROSODY.get(emotion, PROSODY["neu"])
    if ambiguous or emotion not in PROSODY:
        other = PROSODY[dice.choice([name for name in ("ang", "hap", "sad", "neu") if name != emotion])]
        target = _halfway(target, other)
    rate, pitch, spread, volume, tilt = (dice.gauss(*pair) for pair in zip(target, NOISE, strict=True))
    return Delivery(
        rate=_clamp(rate, 90, 300),
        pitch=_clamp(pitch + voice.pitch, 0, 99),
        range=_clamp(spread, 0, 99),
        volume=_clamp(volume, 30, 110),
        tilt=tilt,
    )


def _clamp(value: float, low: int, high: int) -> int:
    return round(min(max(value, low), high))


def _halfway(one: _Prosody, other: _Prosody) -> _Prosody:
    rate, pitch, spread, volume, tilt = ((a + b) / 2 for a, b in zip(one, other, strict=True))
    return rate, pitch, spread, volume, tilt
