"""`mer align`: a whole corpus into a folder of TextGrids, by workers of any kind and resumable at any moment."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mer.backends import Backend, LocalBackend, Notice, Task, TaskDone, TaskFailed, WorkerLost, own_share
from mer.backends.local import cores
from mer.corpus.aligner.align_work import AlignWork, not_aligned, pieces
from mer.corpus.aligner.alignment_log import Outcome, merge_outcomes, open_log, read_outcomes
from mer.corpus.aligner.registry import AlignerChoice
from mer.corpus.utterance import Corpus

UTTERANCES_PER_PROCESS = 16
"""For fewer, a process is not worth its start."""
POCKETSPHINX_AS_IT_IS = AlignerChoice()
"""The aligner that is used where none is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignSummary:
    """What `mer align` left behind."""

    folder: Path
    """Where the TextGrids and `alignment.jsonl` are."""
    aligner: str
    """Name and versions."""
    utterances: int
    """In the corpus."""
    aligned: int
    """With a TextGrid now."""
    made: int
    """Aligned in this run; the others were there."""
    seconds: float
    """Seconds of audio aligned in this run."""
    failed: tuple[Outcome, ...]
    """Without a TextGrid, with the reasons: extraction takes each as one segment."""
    unknown_words: dict[str, int]
    """Words that the aligner knows nothing of, and in how many utterances each is."""
    fillers_lost: int
    """Tags for which no sound was found."""
    waiting: int
    """Without an outcome: in shares that are not done, or in pieces that were given up."""
    given_up: tuple[TaskFailed, ...]
    """Pieces whose worker was killed or that could not be written; the same command tries them again."""
    tiers: tuple[str, ...] = ("words", "phones", "syllables")
    """What the aligner makes."""
    unknown_words_are: str = ""
    """What became of `unknown_words`, in words."""
    unknown_characters: dict[str, int] = field(default_factory=dict)
    """Characters that the aligner has no symbol for, and how often each was passed over."""


def align_corpus(
    corpus: Corpus,
    folder: Path,
    *,
    aligner: AlignerChoice = POCKETSPHINX_AS_IT_IS,
    workers: int | None = None,
    backend: Backend | None = None,
    shard: tuple[int, int] | None = None,
    on_progress: Callable[[int, int, float], None] = lambda done, total, seconds: None,
    on_notice: Callable[[str], None] = lambda text: None,
) -> AlignSummary:
    """Align every utterance of a corpus that is not aligned there yet; what was done is kept when it is stopped.

    Args:
        corpus: its own alignments are not looked at.
        folder: for `<id>.TextGrid`, and `alignment.jsonl` with failures and unknown words.
        aligner: which, with its options.
        workers: processes, without a backend; one per core by default.
        backend: where it is done; in processes of this machine by default.
        shard: number of one of several commands that share the corpus, from 0, and how many they are.
        on_progress: called with utterances done and in all (of this run), and seconds of audio done.
        on_notice: called with what a person should know: workers that were lost, pieces that were given up.

    Raises:
        AlignError: an aligner that is not here or lacks an option, a folder of foreign TextGrids.
        BackendError: workers that cannot be had.
    """
    work = AlignWork.of(folder, aligner)
    rank, world = shard or (0, 1)
    before = open_log(folder, work.aligner)
    tally = _Tally(len(corpus) // world, on_progress, on_notice)
    shared = tally.counted(own_share(pieces(corpus), rank, world))
    tasks = tally.planned(not_aligned(shared, before, folder, work.fingerprint))
    backend = backend or LocalBackend(workers=workers or default_processes(len(corpus)), threads=1)
    given_up = backend.run(work, tasks, tell=tally.tell)
    outcomes = read_outcomes(folder)
    lost = {name for task in given_up for name in tally.utterances[task.name]}
    if all(u.id in outcomes for u in corpus):
        merge_outcomes(folder, work.aligner)
    held = {u.id: outcomes[u.id] for u in corpus if u.id in outcomes and u.id not in lost}
    return _summary(folder, work, len(corpus), held, tally, given_up)


def default_processes(utterances: int) -> int:
    """One per core of this machine, fewer for few utterances."""
    return max(1, min(cores(), utterances // UTTERANCES_PER_PROCESS))


def _summary(
    folder: Path,
    work: AlignWork,
    utterances: int,
    held: Mapping[str, Outcome],
    tally: "_Tally",
    given_up: tuple[TaskFailed, ...],
) -> AlignSummary:
    now = [held[name] for task in tally.utterances.values() for name in task if name in held]
    words: Counter[str] = Counter(word for outcome in held.values() for word in outcome.unknown)
    characters: Counter[str] = Counter()
    for outcome in held.values():
        characters.update(outcome.unknown_characters)
    kind = work.choice.kind()
    return AlignSummary(
        folder=folder,
        aligner=work.aligner,
        utterances=utterances,
        aligned=sum(not outcome.reason for outcome in held.values()),
        made=sum(not outcome.reason for outcome in now),
        seconds=sum(outcome.seconds for outcome in now),
        failed=tuple(outcome for outcome in held.values() if outcome.reason),
        unknown_words=dict(sorted(words.items(), key=lambda item: (-item[1], item[0]))),
        fillers_lost=sum(outcome.fillers_lost for outcome in held.values()),
        waiting=utterances - len(held),
        given_up=given_up,
        tiers=kind.tiers,
        unknown_words_are=kind.unknown_words,
        unknown_characters=dict(sorted(characters.items(), key=lambda item: (-item[1], item[0]))),
    )


class _Tally:
    """Counts what goes to the workers and what comes back."""

    def __init__(self, utterances: int, on_progress: Callable[[int, int, float], None], on_notice: Callable[[str], None]) -> None:
        self.utterances: dict[str, tuple[str, ...]] = {}
        """Ids of what was to do, by piece."""
        self._expected, self._seen, self._todo = utterances, 0, 0
        self._costs: dict[str, float] = {}
        self._done, self._seconds = 0, 0.0
        self._on_progress, self._on_notice = on_progress, on_notice

    def counted(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """Pieces of the corpus pass by, before those that are done are left out."""
        for task in tasks:
            self._seen += len(task.content)
            yield task

    def planned(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """Pieces on their way to the workers."""
        for task in tasks:
            self.utterances[task.name] = tuple(u.id for u in task.content)
            self._todo += len(task.content)
            self._costs[task.name] = task.cost
            yield task

    def tell(self, event: object) -> None:
        """Hear of a worker."""
        match event:
            case TaskDone(name=name):
                self._end(name)
            case TaskFailed(name=name, reason=reason, tries=tries):
                self._on_notice(f"{len(self.utterances[name])} utterances were given up at try {tries}: {reason}")
                self._end(name)
            case WorkerLost(number=number, host=host, reason=reason):
                self._on_notice(f"{reason} (worker {number} on {host}); its utterances go to others, or to the next one there")
            case Notice(text=text):
                self._on_notice(text)
            case _:
                pass

    def _end(self, name: str) -> None:
        self._done += len(self.utterances[name])
        self._seconds += self._costs.pop(name)
        coming = max(0, self._expected - self._seen)
        self._on_progress(self._done, self._todo + coming, self._seconds)
