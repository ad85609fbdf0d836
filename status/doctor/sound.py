"""Recordings of a corpus that cannot be read, or hold no sound to hear an emotion in."""

from collections.abc import Sequence

from mer.corpus import Utterance
from mer.corpus.audio import AudioError, read_wave
from mer.corpus.sound_quality import LONGEST, ODD_SOUNDS
from mer.status.doctor.check import Check
from mer.status.doctor.corpus_state import named

LISTENED = 200
"""Recordings that are listened to, about three seconds of one core; of more, these many at equal distances."""
RATE = 16_000


def sound_checks(rows: Sequence[Utterance]) -> list[Check]:
    """Listen to some or all: which are unreadable, silent, constant, clipped, of opposite phase, or hours long."""
    rows = [each for each in rows if each.wav.is_file()]  # the census names the others
    if not rows:
        return []
    chosen = [rows[number * len(rows) // LISTENED] for number in range(LISTENED)] if len(rows) > LISTENED else rows
    unreadable: list[tuple[str, str]] = []
    odd: dict[str, list[str]] = {}
    for utterance in chosen:
        try:
            wave = read_wave(utterance.wav, RATE, utterance.part)
        except AudioError as problem:
            unreadable.append((utterance.id, str(problem)))
            continue
        for kind in wave.odd:
            odd.setdefault(ODD_SOUNDS[kind], []).append(utterance.id)
        if len(wave.samples) > LONGEST * RATE:
            odd.setdefault("hours of audio for one utterance", []).append(utterance.id)
    some = "all" if len(chosen) == len(rows) else f"every {len(rows) / LISTENED:.0f}th"
    listened = f"listened to {len(chosen):,} of {len(rows):,} recordings ({some}; `mer extract` listens to all)"
    checks = [Check(name="sound", status="ok" if not odd and not unreadable else "note", found=listened)]
    if unreadable:
        found = f"{named([name for name, _ in unreadable])} cannot be read; the first: {unreadable[0][1]}"
        checks.append(Check(name="sound", status="note", found=found, advice="`mer extract` lists every one and goes on"))
    return checks + [Check(name="sound", status="note", found=f"{kind}: {named(ids)}") for kind, ids in sorted(odd.items())]
