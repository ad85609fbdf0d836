"""The IEMOCAP corpus (Busso et al., 2008) as released: five sessions of two actors each."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mer.corpus.emo_evaluation import LABELS, LabelLine
from mer.corpus.iemocap_session import SessionFiles, is_synthetic, read_session, session_folders
from mer.corpus.sphinx_alignment import SphinxAlignment
from mer.corpus.utterance import Corpus, CorpusError, Problem, Utterance
from mer.corpus.utterance_id import parse_utterance_id

RELEASED_SESSIONS = ("1", "2", "3", "4", "5")


def read_iemocap(
    root: Path,
    *,
    sessions: Sequence[str] | None = None,
    labels: frozenset[str] | None = None,
    alignment_offset_ms: int = 0,
    known: Mapping[str, SessionFiles] | None = None,
) -> Corpus:
    """Read labels, transcripts and the whereabouts of audio and alignments; no audio is opened.

    An utterance exists when `dialog/EmoEvaluation` has a summary line for it. What does not fit is listed
    as problems, except what concerns only utterances that `labels` leaves out.

    Args:
        root: the folder `IEMOCAP_full_release`.
        sessions: the sessions to read (`1` to `5`); all that are there by default.
        labels: the label codes to keep (`ang`, `exc`, ...); all by default.
        alignment_offset_ms: added to all alignment times, >= 0.
        known: the files of each session, where somebody has listed them already.

    Raises:
        CorpusError: if the folder is no release, a session is not there, an utterance is labelled twice, or
            no utterance has one of the labels.
    """
    if alignment_offset_ms < 0:
        raise CorpusError(f"the alignment offset must be 0 ms or more, got {alignment_offset_ms}")
    folders = session_folders(root)
    wanted = tuple(folders) if sessions is None else tuple(dict.fromkeys(sessions))
    missing = [session for session in wanted if session not in folders]
    if missing or not wanted:
        raise CorpusError(f"{root}: no session {', '.join(missing) or '(none asked for)'}; there are {', '.join(folders)}")
    synthetic = is_synthetic(root)
    problems = [] if synthetic or sessions is not None else _missing_sessions(root, folders)
    utterances: list[Utterance] = []
    counts: Counter[str] = Counter()
    for session in wanted:
        files = known[session] if known else read_session(folders[session], session)
        problems += files.problems
        problems += _orphans(files)
        for line in files.labels.values():
            counts[line.label] += 1
            if labels is None or line.label in labels:
                utterances.append(_utterance(files, line, alignment_offset_ms))
                problems += _lacks(files, line)
    if not utterances:
        raise CorpusError(
            f"{root}: no utterance of session {', '.join(wanted)} has a label of "
            f"{', '.join(sorted(labels)) if labels else 'any kind'}; labels there: "
            f"{', '.join(f'{label} {count}' for label, count in sorted(counts.items())) or 'none'}"
        )
    return Corpus(
        name="synthetic" if synthetic else "iemocap",
        kind="iemocap",
        synthetic=synthetic,
        utterances=tuple(sorted(utterances, key=lambda utterance: (utterance.session, utterance.id))),
        problems=tuple(problems),
    )


def _missing_sessions(root: Path, folders: Collection[str]) -> list[Problem]:
    return [
        Problem(
            kind="missing session",
            where=f"Session{session}",
            message=f"{root} has no Session{session}; a release has Session1 to Session5",
        )
        for session in RELEASED_SESSIONS
        if session not in folders
    ]


def _utterance(files: SessionFiles, line: LabelLine, offset_ms: int) -> Utterance:
    name = parse_utterance_id(line.id)
    if name is None:
        raise CorpusError(f"{line.where}: {line.id!r} is no utterance id of IEMOCAP")
    paths = files.alignment_files(line.id)
    return Utterance(
        id=line.id,
        wav=files.wav(line.id),
        text=files.texts.get(line.id),
        label=line.label,
        speaker=name.speaker,
        session=name.session,
        dialogue=name.dialogue,
        style=name.style,
        attributes=line.attributes,
        votes=line.votes or None,
        rated_later=True,
        alignment=SphinxAlignment(**paths, offset_ms=offset_ms) if paths else None,
    )


def _lacks(files: SessionFiles, line: LabelLine) -> list[Problem]:
    """What a labelled utterance lacks."""
    problems: list[Problem] = []
    if not files.has_wav(line.id):
        message = f"labelled in {line.where}, but there is no {files.wav(line.id)}"
        problems.append(Problem(kind="label without wav", where=line.id, message=message))
    if line.id not in files.texts:
        message = f"labelled in {line.where}, but no line of dialog/transcriptions has it"
        problems.append(Problem(kind="label without transcript", where=line.id, message=message))
    if line.label not in LABELS:
        message = f"{line.where}: label {line.label!r} is none of {', '.join(sorted(LABELS))}"
        problems.append(Problem(kind="unknown label", where=line.id, message=message))
    return problems


def _orphans(files: SessionFiles) -> list[Problem]:
    """Audio and transcript lines that have no label: they are no utterances."""
    return [
        Problem(kind="wav without label", where=name, message=f"no label line for {name}.wav; it is not used")
        for name in files.wavs_without_label()
    ] + [
        Problem(kind="transcript without label", where=name, message=f"no label line for {name}; it is not used")
        for name in files.texts_without_label()
    ]
