"""`mer align`: a whole corpus into a folder of TextGrids, in parallel and resumable at any moment."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.alignment_log import LOG_NAME, Outcome, end_torn_line, input_fingerprint, log_line, open_log
from mer.corpus.aligner.pocketsphinx_aligner import SAMPLE_RATE, Aligner, aligner_name
from mer.corpus.alignment import AlignmentError
from mer.corpus.audio import AudioError, read_wave
from mer.backends.interrupt import end_with_parent, never_heard_by_children
from mer.corpus.textgrid_file import textgrid_name, write_textgrid
from mer.corpus.utterance import Corpus, Utterance

CHUNK = 8
"""Utterances that a process gets at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignSummary:
    """What `mer align` left behind."""

    folder: Path
    """Of the TextGrids and `alignment.jsonl`."""
    aligner: str
    """Name and versions."""
    utterances: int
    """In the corpus."""
    aligned: int
    """With a TextGrid now."""
    made: int
    """Aligned in this run; the others were there."""
    seconds: float
    """Of audio aligned in this run."""
    failed: tuple[Outcome, ...]
    """Without a TextGrid, with the reasons: extraction takes each as one segment."""
    unknown_words: dict[str, int]
    """Words with a guessed pronunciation, and in how many utterances each is."""
    fillers_lost: int
    """Tags for which no sound was found."""


def align_corpus(
    corpus: Corpus,
    folder: Path,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int, float], None] = lambda done, total, seconds: None,
) -> AlignSummary:
    """Align every utterance of a corpus that is not aligned there yet; what was done is kept when it is stopped.

    Args:
        corpus: its own alignments are not looked at.
        folder: for `<id>.TextGrid`, and `alignment.jsonl` with failures and unknown words.
        workers: processes; one per core by default.
        on_progress: called with utterances done and in all (of this run), and seconds of audio done.

    Raises:
        AlignError: no pocketsphinx, a folder of foreign TextGrids, a process that was killed.
    """
    name = aligner_name()
    before = open_log(folder, name)
    todo = [u for u in corpus if not _is_done(u, before.get(u.id), folder)]
    outcomes = {u.id: before[u.id] for u in corpus if u.id in before}
    done, made, seconds = 0, 0, 0.0
    end_torn_line(folder / LOG_NAME)
    with (folder / LOG_NAME).open("a", encoding="utf-8") as log:
        for batch in _batches(todo, folder, _processes(workers, todo)):
            for outcome in batch:
                _keep(log, outcome)
                outcomes[outcome.id] = outcome
                made += not outcome.reason
                seconds += outcome.seconds
            done += len(batch)
            on_progress(done, len(todo), seconds)
    held = [outcomes[u.id] for u in corpus]
    words: Counter[str] = Counter(word for outcome in held for word in outcome.unknown)
    return AlignSummary(
        folder=folder,
        aligner=name,
        utterances=len(corpus),
        aligned=sum(not outcome.reason for outcome in held),
        made=made,
        seconds=seconds,
        failed=tuple(outcome for outcome in held if outcome.reason),
        unknown_words=dict(sorted(words.items(), key=lambda item: (-item[1], item[0]))),
        fillers_lost=sum(outcome.fillers_lost for outcome in held),
    )


def _keep(log: TextIO, outcome: Outcome) -> None:
    log.write(log_line(outcome))
    log.flush()


def _is_done(utterance: Utterance, outcome: Outcome | None, folder: Path) -> bool:
    if outcome is None or outcome.fingerprint != input_fingerprint(utterance):
        return False
    return bool(outcome.reason) or (folder / textgrid_name(utterance.id)).is_file()


def _processes(workers: int | None, todo: Sequence[Utterance]) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(workers or cores, len(todo) // (2 * CHUNK)))


def _batches(todo: Sequence[Utterance], folder: Path, processes: int) -> Iterator[list[Outcome]]:
    """Outcomes as they come."""
    chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
    if processes == 1:
        for chunk in chunks:
            yield _align_chunk(chunk, folder)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)
    running: set[Future[list[Outcome]]] = set()
    try:
        with never_heard_by_children():  # processes are started by the first submissions
            running = {pool.submit(_align_chunk, chunk, folder) for chunk in chunks[: 2 * processes]}
        waiting = iter(chunks[2 * processes :])
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(_align_chunk, chunk, folder) for _, chunk in zip(done, waiting, strict=False)}
            yield from (future.result() for future in done)
    except BrokenProcessPool as error:
        raise AlignError(
            "a process of the aligner was killed (often the system, short of memory: try fewer --workers); what is aligned "
            "stays, the same command goes on from there"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_own: list[Aligner] = []


def _align_chunk(utterances: Sequence[Utterance], folder: Path) -> list[Outcome]:
    if not _own:
        _own.append(Aligner())
    return [_align_one(utterance, folder, _own[0]) for utterance in utterances]


def _align_one(utterance: Utterance, folder: Path, aligner: Aligner) -> Outcome:
    mark = input_fingerprint(utterance)
    path = folder / textgrid_name(utterance.id)
    path.unlink(missing_ok=True)  # of other speech or text
    seconds = 0.0
    try:
        wave = read_wave(utterance.wav, SAMPLE_RATE).samples
        seconds = len(wave) / SAMPLE_RATE
        if utterance.text is None:
            raise AlignError("no transcript: there is nothing to align with")
        found = aligner.align(wave, utterance.text)
        write_textgrid(path, found.alignment, seconds)
    except (AudioError, AlignmentError) as problem:
        return Outcome(id=utterance.id, fingerprint=mark, seconds=seconds, reason=str(problem))
    return Outcome(id=utterance.id, fingerprint=mark, seconds=seconds, unknown=found.unknown, fillers_lost=found.fillers_lost)


def _start_worker() -> None:
    """Ctrl-C reaches the whole group and the parent decides; a worker whose parent is gone goes too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
