"""What a corpus says about the utterances of a report, its recordings included."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np

from mer.backends.interrupt import end_with_parent, never_heard_by_children
from mer.backends.local import cores
from mer.corpus import AlignmentError, Corpus, Utterance
from mer.corpus.alignment import Segment
from mer.corpus.part import WHOLE, Part
from mer.report.known_facts import plain_facts
from mer.report.utterance_facts import UtteranceFacts

BINS = 100
"""Stretches of a waveform."""
CHUNK = 32
"""Utterances that are read in one go."""
WORTH_PROCESSES = 1000
"""Utterances from which processes read them."""
MOST_PROCESSES = 8
"""More would wait for the disk."""


def corpus_facts(
    corpus: Corpus, wanted: frozenset[str], folder: Path, *, audio: bool, progress: Callable[[float, float], None]
) -> dict[str, UtteranceFacts]:
    """Transcript, speaker, segments and waveform of each utterance.

    Args:
        corpus: which holds them.
        wanted: ids of the utterances.
        folder: of the page, which links to recordings from there.
        audio: whether the page links to recordings.
        progress: called with utterances done and in all.
    """
    chosen = [(each, link(each.wav, folder) + _fragment(each.part) if audio else "") for each in corpus if each.id in wanted]
    chunks = [chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK)]
    found = {}
    with _readers(len(chosen)) as pool, never_heard_by_children():
        for some in pool.map(_facts_of_each, chunks):
            found.update({facts.id: facts for facts in some})
            progress(len(found), len(chosen))
    return found


def _readers(utterances: int) -> Executor:
    """Threads, since files are waited for; processes where parsing alignments is more than starting them."""
    processes = min(cores(), MOST_PROCESSES)
    if utterances < WORTH_PROCESSES or processes == 1:
        return ThreadPoolExecutor(4)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent)


def _facts_of_each(chosen: Sequence[tuple[Utterance, str]]) -> list[UtteranceFacts]:
    return [_facts(utterance, address) for utterance, address in chosen]


def link(wav: Path, folder: Path) -> str:
    """Address of a recording as seen from the page."""
    try:
        relative = os.path.relpath(wav.resolve(), folder.resolve())
    except ValueError:  # another drive
        return wav.resolve().as_uri()
    return quote(Path(relative).as_posix())


def _fragment(part: Part) -> str:
    """What makes a browser play a part of a file (W3C Media Fragments); empty for all of it."""
    return "" if (part.start, part.end) == (0.0, None) else f"#t={part.start:g}" + ("" if part.end is None else f",{part.end:g}")


def _facts(utterance: Utterance, audio: str) -> UtteranceFacts:
    seconds, peaks = waveform(utterance.wav, utterance.part)
    try:
        alignment = utterance.alignment.read() if utterance.alignment is not None else None
    except (AlignmentError, OSError):
        alignment = None  # the extraction has counted it; here it is a picture without bands
    return replace(
        plain_facts(utterance, seconds),
        words=_timed(alignment.words) if alignment is not None else (),
        phones=_timed(alignment.phones) if alignment is not None else (),
        syllables=_timed(alignment.syllables) if alignment is not None else (),
        peaks=peaks,
        audio=audio if seconds is not None else "",
    )


def _timed(segments: Sequence[Segment]) -> tuple[tuple[str, float, float], ...]:
    return tuple((each.label, each.start_ms / 1000, each.end_ms / 1000) for each in segments)


def waveform(wav: Path, part: Part = WHOLE) -> tuple[float | None, tuple[int, ...]]:
    """Seconds of a part, and the largest amplitude of each stretch as 0 to 99 of full scale of that recording."""
    import soundfile

    try:
        samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    except (OSError, RuntimeError):
        return None, ()
    samples = samples[round(part.start * rate) : None if part.end is None else round(part.end * rate)]
    samples = samples if part.channel is None else samples[:, part.channel - 1 : part.channel]
    if not samples.size:
        return 0.0, (0,)
    level = np.nan_to_num(np.abs(samples).max(axis=1))
    edges = np.linspace(0, len(level), min(BINS, len(level)), endpoint=False).astype(np.int64)
    peaks = np.maximum.reduceat(level, edges)
    top = float(peaks.max()) or 1.0
    return len(samples) / rate, tuple(round(99 * float(peak) / top) for peak in peaks)
