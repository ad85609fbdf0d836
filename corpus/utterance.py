"""The nouns of a corpus: an utterance, and a named collection of them with what was wrong on disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer.corpus.alignment import AlignmentSource
from mer.corpus.part import Part


class CorpusError(ValueError):
    """A corpus that cannot be read at all: wrong folder, duplicate ids, a session that is not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One spoken turn, before any model runs. Nothing is opened here: paths are read when needed."""

    id: str
    """Unique in its corpus."""
    wav: Path
    """Audio file. May be missing on disk: extraction then records the utterance as failed."""
    text: str | None
    """Transcript as written, tags included; None when the corpus has none for this utterance."""
    label: str
    """The corpus' own label, unmapped (`ang`, `exc`, ...); classes are made of these by the protocol."""
    speaker: str
    """Who speaks. For IEMOCAP session digit + LAST letter of the id (`1F`), never the prefix letter."""
    session: str
    """Fold unit: `1` to `5` for IEMOCAP."""
    dialogue: str = ""
    """Recording that the utterance was cut from."""
    style: str = ""
    """`improvised`, `scripted`, or empty where a corpus does not say."""
    attributes: tuple[float, float, float] | None = None
    """Valence, activation and dominance, 1 to 5 (MSP-Podcast: to 7); None where a corpus has not all three."""
    alignment: AlignmentSource | None = None
    """Where the phone, syllable and word times are; None when there are none."""
    seconds: float | None = None
    """Length of the audio as the corpus states it, so that work can be planned without opening files; None = not stated."""
    start: float = 0.0
    """Seconds into the audio file at which the utterance begins."""
    end: float | None = None
    """Seconds into the audio file at which it ends; None = the end of the file."""
    channel: int | None = None
    """Which channel of the audio file, counted from 1; None = the mean of all."""
    split: str = ""
    """Part of the corpus' own partition that it belongs to (`train`, `dev`, `test`, `test2`); empty where there is none."""
    votes: Mapping[str, int] | None = None
    """Label to the number of annotators who gave it; None where a corpus does not say."""
    rated_later: bool = False
    """Whether caches of its kind of corpus were made before ratings (`attributes`, `votes`) were read, so that these make none
    stale; the reader of the kind says it."""
    columns: Mapping[str, str] | None = None
    """What else the corpus says of it, by the name of its column; None for nothing."""

    @property
    def part(self) -> Part:
        """Where in its audio file it is."""
        return Part(self.start, self.end, self.channel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something on disk that does not fit, reported and counted but no reason to stop."""

    kind: str
    """Short, stable, for counting: `label without wav`, `transcript without label`, ..."""
    where: str
    """Utterance id or file."""
    message: str
    """What was found and what was expected."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Utterances in a fixed order (sorted by session, then id), and the problems met while reading."""

    name: str
    """Names the folder in the feature cache: lower case, digits, `-`."""
    kind: str
    """A name of `CORPORA`."""
    synthetic: bool
    """True for speech that `mer synth` made; printed beside every result."""
    utterances: Sequence[Utterance]
    """A tuple; of a large manifest a sequence that reads each row when it is asked for."""
    problems: tuple[Problem, ...] = field(default=())

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)
