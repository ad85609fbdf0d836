"""Everything counted in a corpus: what `mer doctor` shows of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.utterance import Corpus, Problem


@dataclass(frozen=True, kw_only=True)
class SessionCensus:
    """Counts of one session beside those of the full release."""

    session: str
    labels: dict[str, int]
    """Utterances per label found."""
    utterances: int
    """Labelled utterances found."""
    dialogues: int
    """Recordings with at least one of them."""
    expected_labels: dict[str, int] | None = None
    """Full release, as far as its labels are known by session; None where there is nothing to compare with."""
    expected_utterances: int | None = None
    """Full release."""
    expected_dialogues: int | None = None
    """Full release."""

    @property
    def complete(self) -> bool:
        """Whether every count that is known for a full release is met."""
        return (
            self.expected_utterances in (None, self.utterances)
            and self.expected_dialogues in (None, self.dialogues)
            and all(self.labels.get(label, 0) == n for label, n in (self.expected_labels or {}).items())
        )


@dataclass(frozen=True, kw_only=True)
class Census:
    """Everything counted at one place. Names are sorted; counts differ where nothing can be named."""

    title: str
    """Kind of corpus, for people."""
    root: Path
    """Its folder or file."""
    synthetic: bool
    """Synthetic speech: only its inner consistency is judged, there is no release to compare with."""
    sessions: tuple[SessionCensus, ...]
    """In order; a released session that is not there has counts of 0."""
    labels: dict[str, int]
    """Utterances per label, all sessions."""
    expected_labels: dict[str, int] | None = None
    """Full release, all labels; None where there is nothing to compare with."""
    labels_without_wav: tuple[str, ...]
    """Ids of labelled utterances whose audio file is not there."""
    labels_without_transcript: tuple[str, ...]
    """Ids of labelled utterances without a transcript."""
    problems: tuple[Problem, ...]
    """Malformed lines and files, and what else is odd in those that are read."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing or extra; a corpus without a known release need not have transcripts."""
        return (
            not self.labels_without_wav
            and all(session.complete for session in self.sessions)
            and self.expected_labels in (None, self.labels)
        )

    @property
    def findings(self) -> Mapping[str, tuple[str, ...]]:
        """What is missing or extra, as a heading and the ids."""
        return {
            "labels without wav": self.labels_without_wav,
            "labels without transcript": self.labels_without_transcript,
        }


def census_of(root: Path | str, title: str, corpus: Corpus, released: Mapping[str, int] | None = None) -> Census:
    """Count a corpus that has been read.

    Args:
        root: its folder or file.
        title: its kind, for people.
        corpus: all of it.
        released: utterances per label of the full release, where that is known.
    """
    labels, utterances, dialogues = dict[str, Counter[str]](), Counter[str](), dict[str, set[str]]()
    silent, textless = list[str](), list[str]()
    for each in corpus:
        labels.setdefault(each.session, Counter())[each.label] += 1
        utterances[each.session] += 1
        dialogues.setdefault(each.session, set()).add(each.dialogue)
        if not each.wav.is_file():
            silent.append(each.id)
        if each.text is None:
            textless.append(each.id)
    return Census(
        title=title,
        root=Path(root),
        synthetic=corpus.synthetic,
        sessions=tuple(
            SessionCensus(session=name, labels=dict(found), utterances=utterances[name], dialogues=len(dialogues[name] - {""}))
            for name, found in labels.items()
        ),
        labels=dict(sum(labels.values(), Counter())),
        expected_labels=None if released is None or corpus.synthetic else dict(released),
        labels_without_wav=tuple(sorted(silent)),
        labels_without_transcript=tuple(sorted(textless)),
        problems=tuple(each for each in corpus.problems if not each.kind.startswith("label without ")),
    )
