"""Is a copy of IEMOCAP whole? Counts against the full release, and what is missing by name."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.full_release import FULL_LABELS, FULL_RELEASE, RELEASED_WITHOUT_ALIGNMENT
from mer.corpus.iemocap_session import SessionFiles, is_synthetic, read_session, session_folders
from mer.corpus.utterance import Problem
from mer.corpus.utterance_id import parse_utterance_id


@dataclass(frozen=True, kw_only=True)
class SessionCensus:
    """Counts of one session beside those of the full release."""

    session: str
    labels: dict[str, int]
    """Utterances per label code found."""
    utterances: int
    """Labelled utterances found."""
    dialogues: int
    """Recordings with at least one of them."""
    expected_labels: dict[str, int] | None
    """Full release, for `ang`, `hap`, `exc`, `sad`, `neu`; None where there is nothing to compare with."""
    expected_utterances: int | None
    """Full release."""
    expected_dialogues: int | None
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
    """Everything counted in one folder. Names are sorted; counts differ where nothing can be named."""

    root: Path
    synthetic: bool
    """Synthetic speech: only its inner consistency is judged, there is no release to compare with."""
    sessions: tuple[SessionCensus, ...]
    """In order; a released session that is not there has counts of 0."""
    labels: dict[str, int]
    """Utterances per label code, all sessions."""
    expected_labels: dict[str, int] | None
    """Full release, all eleven codes."""
    missing_dialogues: tuple[str, ...]
    """Recordings of the full release without any label here."""
    extra_dialogues: tuple[str, ...]
    """Recordings that the full release does not have."""
    missing_ids: tuple[str, ...]
    """Turns that must exist, as later turns of the same speaker and dialogue do, but have no label.

    Turns cut off at the end of a dialogue leave no such trace: they show in the counts only.
    """
    labels_without_wav: tuple[str, ...]
    wavs_without_label: tuple[str, ...]
    labels_without_transcript: tuple[str, ...]
    without_alignment: tuple[str, ...]
    """Labelled utterances without any alignment file, the two of the full release included."""
    partly_aligned: tuple[str, ...]
    """Labelled utterances with some of the files of words, phones and syllables, but not all."""
    expected_without_alignment: tuple[str, ...]
    """Those of the full release, where it applies."""
    problems: tuple[Problem, ...]
    """Malformed lines and files."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, extra or malformed.

        Alignments are judged only against the full release, as other corpora need not have them.
        """
        faults: tuple[tuple[object, ...], ...] = (
            self.missing_dialogues,
            self.extra_dialogues,
            self.missing_ids,
            self.labels_without_wav,
            self.wavs_without_label,
            self.labels_without_transcript,
            self.problems,
        )
        if not self.synthetic:
            faults += (
                self.partly_aligned,
                tuple(set(self.without_alignment) - set(self.expected_without_alignment)),
            )
        return (
            not any(faults) and all(session.complete for session in self.sessions) and self.expected_labels in (None, self.labels)
        )


def take_census(root: Path) -> Census:
    """Count a corpus folder and compare it with the full release.

    Args:
        root: the folder `IEMOCAP_full_release`, or one in its layout. With the marker of synthetic speech
            it is compared with nothing.

    Raises:
        CorpusError: if the folder is no release, or an utterance is labelled twice.
    """
    synthetic = is_synthetic(root)
    files = {session: read_session(folder, session) for session, folder in session_folders(root).items()}
    names = sorted(files if synthetic else files.keys() | FULL_RELEASE.keys(), key=int)
    sessions = tuple(_count(name, files.get(name), synthetic=synthetic) for name in names)
    aligned = {name: len(f.alignment_files(name)) for f in files.values() for name in f.labels}
    dialogues = {line_id.rpartition("_")[0] for f in files.values() for line_id in f.labels}
    expected = dialogues if synthetic else {d for s in FULL_RELEASE.values() for d in s.dialogues}
    labels: Counter[str] = Counter()
    for session in sessions:
        labels.update(session.labels)
    return Census(
        root=root,
        synthetic=synthetic,
        sessions=sessions,
        labels=dict(labels),
        expected_labels=None if synthetic else FULL_LABELS,
        missing_dialogues=tuple(sorted(expected - dialogues)),
        extra_dialogues=tuple(sorted(dialogues - expected)),
        missing_ids=_sorted(name for f in files.values() for name in _gaps(f)),
        labels_without_wav=_sorted(name for f in files.values() for name in f.labels if not f.has_wav(name)),
        wavs_without_label=_sorted(name for f in files.values() for name in f.wavs_without_label()),
        labels_without_transcript=_sorted(name for f in files.values() for name in f.labels if name not in f.texts),
        without_alignment=_sorted(name for name, count in aligned.items() if count == 0),
        partly_aligned=_sorted(name for name, count in aligned.items() if 0 < count < 3),
        expected_without_alignment=() if synthetic else _sorted(RELEASED_WITHOUT_ALIGNMENT),
        problems=tuple(problem for f in files.values() for problem in f.problems),
    )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _count(session: str, files: SessionFiles | None, *, synthetic: bool) -> SessionCensus:
    lines = files.labels if files else {}
    released = None if synthetic else FULL_RELEASE.get(session)
    return SessionCensus(
        session=session,
        labels=dict(Counter(line.label for line in lines.values())),
        utterances=len(lines),
        dialogues=len({name.rpartition("_")[0] for name in lines}),
        expected_labels=released.labels if released else None,
        expected_utterances=released.utterances if released else None,
        expected_dialogues=len(released.dialogues) if released else None,
    )


def _gaps(files: SessionFiles) -> list[str]:
    """Numbers below the highest that any label, transcript or audio file of a track has, without a label."""
    highest: defaultdict[str, int] = defaultdict(int)
    for name in (*files.labels, *files.texts, *files.wavs_without_label()):
        parsed = parse_utterance_id(name)
        if parsed is not None and parsed.number is not None:
            highest[parsed.track] = max(highest[parsed.track], parsed.number)
    return [
        name
        for track, last in highest.items()
        for number in range(last + 1)
        if (name := f"{track}{number:03}") not in files.labels
    ]
