"""What the workers of an extraction tell, added up."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mer.backends import Notice, TaskDone, TaskFailed, WorkerLost
from mer.extract.stage_times import ShardTimes, TimesOfAll


@dataclass(frozen=True, slots=True)
class Begun:
    """A shard is begun; whatever an earlier try of it has told is in vain."""

    name: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """Some more utterances of a shard are through the encoders."""

    name: str
    utterances: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Committed:
    """A shard is on disk, whole."""

    name: str
    bytes: int
    times: ShardTimes | None = field(default=None, compare=False)
    """What it took; None where nobody has measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractionProgress:
    """How far an extraction is."""

    utterances: int
    """Through the encoders, in this run."""
    utterances_total: int
    """To do in this run."""
    seconds: float
    """Seconds of audio that went through the encoders."""
    seconds_total: float
    """Seconds of audio to do in this run."""
    bytes: int
    """Committed to disk in this run."""


class EventCounter:
    """Adds up the events of all workers and reports them; what a lost worker had begun is counted once."""

    def __init__(
        self,
        on_progress: Callable[[ExtractionProgress], None],
        on_notice: Callable[[str], None] = lambda text: None,
        *,
        size_of: Callable[[str], int] = lambda name: 0,
    ) -> None:
        """Nothing is to do yet.

        Args:
            on_progress: called after each event.
            on_notice: hears in words of tasks that failed and of workers that were lost.
            size_of: bytes of a shard that is committed, for one that only its existence tells of.
        """
        self.utterances_total, self.seconds_total = 0, 0.0
        self.utterances, self.seconds, self.bytes = 0, 0.0, 0
        self.repeated_seconds = 0.0
        """Seconds of audio that went through the encoders in vain."""
        self.done: set[str] = set()
        """Shards that were committed in this run, by its workers or by another command's."""
        self.times = TimesOfAll()
        """What the stages of all workers took, as far as it was told."""
        self._expected: dict[str, tuple[int, float]] = {}
        self._begun: dict[str, tuple[int, float]] = {}
        self._estimated = False
        self._on_progress, self._on_notice, self._size_of = on_progress, on_notice, size_of

    def expect(self, name: str, utterances: int, seconds: float) -> None:
        """Take in that a shard is to be made."""
        self._expected[name] = (utterances, seconds)
        if not self._estimated:
            self.utterances_total += utterances
            self.seconds_total += seconds

    def expect_in_all(self, utterances: int, seconds: float) -> None:
        """Take in an estimate of everything that is to be made, where shards come to be known one by one."""
        self._estimated = True
        self.utterances_total, self.seconds_total = utterances, seconds

    def __call__(self, event: object) -> None:
        """Count one event."""
        match event:
            case Begun(name):
                self._take_back(name)
            case Encoded(name, utterances, seconds):
                before = self._begun.get(name, (0, 0.0))
                self._begun[name] = (before[0] + utterances, before[1] + seconds)
                self.utterances += utterances
                self.seconds += seconds
            case Committed(name, size, times):
                self.times.add(times)
                self._begun.pop(name, None)
                self._finish(name, size)
            case TaskDone(name=name) if name not in self.done:  # of a worker that cannot be heard, or another command's
                self._take_back(name)
                utterances, seconds = self._expected.get(name, (0, 0.0))
                self.utterances += utterances
                self.seconds += seconds
                self._finish(name, self._size_of(name))
            case TaskFailed(name=name, reason=reason, tries=tries):
                self._take_back(name)
                self._on_notice(f"shard {name} was given up at try {tries}: {reason}")
            case WorkerLost(number=number, host=host, reason=reason):
                self._on_notice(f"{reason} (worker {number} on {host}); its shards are made by others, or by the next one there")
            case Notice(text=text):
                self._on_notice(text)
        self._report()

    def _finish(self, name: str, size: int) -> None:
        self.done.add(name)
        self.bytes += size

    def _take_back(self, name: str) -> None:
        utterances, seconds = self._begun.pop(name, (0, 0.0))
        self.utterances -= utterances
        self.seconds -= seconds
        self.repeated_seconds += seconds

    def _report(self) -> None:
        self._on_progress(
            ExtractionProgress(
                utterances=self.utterances,
                utterances_total=self.utterances_total,
                seconds=self.seconds,
                seconds_total=self.seconds_total,
                bytes=self.bytes,
            )
        )
