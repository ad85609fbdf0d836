"""Alignment as tasks: a piece of a corpus is done when all of its utterances have an outcome."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mer.backends import Slot, Task, TaskDone
from mer.backends.agreement import check_same
from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.aligner_kind import SAMPLE_RATE, AlignerKind, OpenAligner
from mer.corpus.aligner.alignment_log import Outcome, input_fingerprint, keep_outcomes, outcomes_of
from mer.corpus.aligner.registry import AlignerChoice
from mer.corpus.alignment import AlignmentError
from mer.corpus.audio import AudioError, audio_seconds, read_wave
from mer.corpus.textgrid_file import textgrid_name, write_textgrid
from mer.corpus.utterance import Utterance

PIECE_SECONDS = 30.0
"""Audio of a piece: about a second of work, and what a kill loses of each worker."""
PIECE_UTTERANCES = 32
"""At most; the shortest utterances cost their files, not their seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignWork:
    """What every aligning worker opens."""

    folder: Path
    """Where TextGrids and outcomes go."""
    choice: AlignerChoice
    """Which aligner."""
    aligner: str
    """Its name and versions where the command was given."""
    fingerprint: str
    """What of it decides alignments."""

    @classmethod
    def of(cls, folder: Path, choice: AlignerChoice) -> "AlignWork":
        """The work of an aligner as it is here.

        Raises:
            AlignError: the aligner is not here, or its options do not fit.
        """
        kind = choice.kind()
        return cls(folder=folder.absolute(), choice=choice, aligner=kind.title, fingerprint=kind.fingerprint)

    @contextmanager
    def open(self, slot: Slot) -> Iterator["AlignWorker"]:
        """Load the aligner.

        Raises:
            BackendError: another aligner here than where the command was given.
        """
        kind = self.choice.kind()
        check_same({"aligner": self.aligner}, {"aligner": kind.title})
        yield AlignWorker(self.folder, kind, self.fingerprint)

    def is_done(self, task: Task) -> bool:
        """Whether every utterance of the piece has an outcome of its present audio and text, and its TextGrid."""
        utterances: tuple[Utterance, ...] = task.content
        found = outcomes_of(self.folder, task.name, (u.id for u in utterances))
        return all(is_aligned(u, found.get(u.id), self.folder, self.fingerprint) for u in utterances)


class AlignWorker:
    """Aligns piece after piece with one aligner."""

    def __init__(self, folder: Path, kind: AlignerKind, fingerprint: str) -> None:
        """Open the aligner, for all pieces."""
        self._folder, self._fingerprint, self._tiers = folder, fingerprint, kind.tiers
        self._aligner = kind.open()

    def do(self, task: Task, *, share: float, tell: Callable[[object], None]) -> None:
        """Align a piece; what cannot be aligned is an outcome, too.

        Args:
            task: utterances.
            share: an aligner has no batches.
            tell: hears when the outcomes are on disk.

        Raises:
            OSError: the file system refuses.
        """
        outcomes: list[Outcome] = []
        try:
            for utterance in task.content:
                mark = input_fingerprint(utterance, self._fingerprint)
                outcomes.append(_align_one(utterance, mark, self._folder, self._aligner, self._tiers))
        finally:  # Ctrl-C in the middle keeps what is aligned
            if outcomes:
                keep_outcomes(self._folder, task.name, outcomes)
        tell(TaskDone(name=task.name))

    def finish(self) -> None:
        """Every piece is on disk when it is done."""


def pieces(utterances: Iterable[Utterance]) -> Iterator[Task]:
    """Utterances in pieces of half a minute or more, in their order; the same pieces in every process."""
    held: list[Utterance] = []
    seconds = 0.0
    for utterance in utterances:
        # Paths hold on other machines, and in processes that were started elsewhere.
        held.append(replace(utterance, wav=utterance.wav.absolute(), alignment=None))
        seconds += audio_seconds(utterance)
        if seconds >= PIECE_SECONDS or len(held) >= PIECE_UTTERANCES:
            yield _piece(held, seconds)
            held, seconds = [], 0.0
    if held:
        yield _piece(held, seconds)


def not_aligned(tasks: Iterable[Task], outcomes: Mapping[str, Outcome], folder: Path, fingerprint: str) -> Iterator[Task]:
    """What there is to do of each piece, as far as there is anything.

    Args:
        tasks: from `pieces`.
        outcomes: of earlier runs, by utterance.
        folder: of the TextGrids.
        fingerprint: the aligner's.
    """
    for task in tasks:
        left = tuple(u for u in task.content if not is_aligned(u, outcomes.get(u.id), folder, fingerprint))
        if left:
            yield replace(task, content=left)


def is_aligned(utterance: Utterance, outcome: Outcome | None, folder: Path, fingerprint: str) -> bool:
    """Whether an outcome is that of the present audio, text and aligner, and its TextGrid is there."""
    if outcome is None or outcome.fingerprint != input_fingerprint(utterance, fingerprint):
        return False
    return bool(outcome.reason) or (folder / textgrid_name(utterance.id)).is_file()


def _piece(utterances: list[Utterance], seconds: float) -> Task:
    ids = hashlib.sha256("\0".join(u.id for u in utterances).encode()).hexdigest()[:16]
    # Ids are unique in a corpus, so pieces never share a name.
    return Task(name=f"piece-{ids}", cost=max(seconds, 1.0), content=tuple(utterances))


def _align_one(utterance: Utterance, mark: str, folder: Path, aligner: OpenAligner, tiers: Sequence[str]) -> Outcome:
    path = folder / textgrid_name(utterance.id)
    seconds = 0.0
    try:
        wave = read_wave(utterance.wav, SAMPLE_RATE, utterance.part).samples
        seconds = len(wave) / SAMPLE_RATE
        if utterance.text is None:
            raise AlignError("no transcript: there is nothing to align with")
        found = aligner.align(wave, utterance.text)
        write_textgrid(path, found.alignment, seconds, tiers)
    except (AudioError, AlignmentError) as problem:
        path.unlink(missing_ok=True)  # of other speech or text
        return Outcome(id=utterance.id, fingerprint=mark, seconds=seconds, reason=str(problem))
    return Outcome(
        id=utterance.id,
        fingerprint=mark,
        seconds=seconds,
        unknown=found.unknown,
        fillers_lost=found.fillers_lost,
        unknown_characters=found.unknown_characters,
    )
