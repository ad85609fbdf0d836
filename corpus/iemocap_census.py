"""Is a copy of IEMOCAP whole? Counts against the full release, and what is missing by name."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.census import Census, SessionCensus
from mer.corpus.full_release import FULL_LABELS, FULL_RELEASE, RELEASED_WITHOUT_ALIGNMENT
from mer.corpus.iemocap_session import SessionFiles, is_synthetic, read_session, session_folders
from mer.corpus.utterance_id import parse_utterance_id


@dataclass(frozen=True, kw_only=True)
class IemocapCensus(Census):
    """A copy of IEMOCAP beside its full release."""

    missing_dialogues: tuple[str, ...]
    """Recordings of the full release without any label here."""
    extra_dialogues: tuple[str, ...]
    """Recordings that the full release does not have."""
    missing_ids: tuple[str, ...]
    """Turns that must exist, as later turns of the same speaker and dialogue do, but have no label.

    Turns cut off at the end of a dialogue leave no such trace: they show in the counts only.
    """
    wavs_without_label: tuple[str, ...]
    """Ids of audio files that no label line names."""
    without_alignment: tuple[str, ...]
    """Labelled utterances without any alignment file, the two of the full release included."""
    partly_aligned: tuple[str, ...]
    """Labelled utterances with some of the files of words, phones and syllables, but not all."""
    expected_without_alignment: tuple[str, ...]
    """Those of the full release, where it applies."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, extra or malformed.

        Alignments are judged only against the full release, as other corpora need not have them.
        """
        lacking = {name: ids for name, ids in self.findings.items() if name != "without alignment"}
        unaligned = {*self.partly_aligned, *self.without_alignment} - {*self.expected_without_alignment}
        return super().complete and not any(lacking.values()) and not self.problems and (self.synthetic or not unaligned)

    @property
    def findings(self) -> Mapping[str, tuple[str, ...]]:
        """What is missing or extra, as a heading and the ids."""
        return {
            "dialogues missing": self.missing_dialogues,
            "dialogues that the release has not": self.extra_dialogues,
            "utterances missing": self.missing_ids,
            "labels without wav": self.labels_without_wav,
            "wavs without label": self.wavs_without_label,
            "labels without transcript": self.labels_without_transcript,
            "without alignment": self.without_alignment,
        }


def take_census(root: Path, known: Mapping[str, SessionFiles] | None = None) -> IemocapCensus:
    """Count a corpus folder and compare it with the full release.

    Args:
        root: the folder `IEMOCAP_full_release`, or one in its layout. With the marker of synthetic speech
            it is compared with nothing.
        known: the files of each session, where somebody has listed them already.

    Raises:
        CorpusError: if the folder is no release, or an utterance is labelled twice.
    """
    synthetic = is_synthetic(root)
    files = known or {session: read_session(folder, session) for session, folder in session_folders(root).items()}
    names = sorted(files if synthetic else files.keys() | FULL_RELEASE.keys(), key=int)
    sessions = tuple(_count(name, files.get(name), synthetic=synthetic) for name in names)
    aligned = {name: len(f.alignment_files(name)) for f in files.values() for name in f.labels}
    dialogues = {line_id.rpartition("_")[0] for f in files.values() for line_id in f.labels}
    expected = dialogues if synthetic else {d for s in FULL_RELEASE.values() for d in s.dialogues}
    labels: Counter[str] = Counter()
    for session in sessions:
        labels.update(session.labels)
    return IemocapCensus(
        title="synthetic corpus" if synthetic else "IEMOCAP",
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
