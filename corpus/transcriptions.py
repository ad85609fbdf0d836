"""IEMOCAP's `dialog/transcriptions/<dialogue>.txt`: what is said in each utterance."""

import re
from pathlib import Path

from mer.corpus.text_file import read_lines
from mer.corpus.utterance import Problem
from mer.corpus.utterance_id import parse_utterance_id

# `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.`
_TIMED = re.compile(r"(\S+)\s+\[\s*[0-9.]+\s*-\s*[0-9.]+\s*\]\s*:(.*)", re.ASCII)
# `M: Yeah.`, `F:Umm.`, `F :Here you go.`: short replies without times, label and audio of their own.
_UNTIMED = re.compile(r"[FM]\s*:.*", re.ASCII)


def read_transcription(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """Read the texts of the numbered utterances of a file, tags and inner white space as written.

    Untimed lines and turns numbered `XX` are passed over: they have neither label nor audio. Any other line,
    and a second text for an id (the first one stays), is a problem.

    Raises:
        CorpusError: if the file cannot be read.
    """
    texts: dict[str, str] = {}
    problems: list[Problem] = []

    def report(kind: str, number: int, message: str) -> None:
        problems.append(Problem(kind=kind, where=f"{path}:{number}", message=message))

    for number, line in enumerate(read_lines(path), start=1):
        line = line.strip()
        if not line or _UNTIMED.fullmatch(line):
            continue
        match = _TIMED.fullmatch(line)
        utterance = parse_utterance_id(match[1]) if match else None
        if match is None or utterance is None:
            expected = "expected `utterance [start-end]: text` or `F: text`"
            report("malformed transcript line", number, f"{expected}, got {line[:80]!r}")
        elif utterance.number is None:
            continue
        elif match[1] in texts:
            report("duplicate transcript", number, f"{match[1]} has a text already; this one is not used")
        else:
            texts[match[1]] = match[2].strip()
    return texts, problems
