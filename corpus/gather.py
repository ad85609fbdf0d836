"""A corpus out of the utterances that a reader of one's own gives: checked, chosen, in order."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from mer.corpus.iemocap_session import is_synthetic
from mer.corpus.manifest_row import MAX_NAME_BYTES, name_faults
from mer.corpus.utterance import Corpus, CorpusError, Problem, Utterance
from mer.corpus.wanted import Wanted

MAX_SHOWN = 20
_C1 = re.compile("[\x80-\x9f]")
_NAMES = ("id", "label", "speaker", "session", "dialogue", "style")
_NEEDED = _NAMES[:4]


def gather(path: Path, found: Iterable[Utterance | Problem], wanted: Wanted) -> Corpus:
    """The wanted utterances as a corpus, sorted by session and id, with what is missing on disk as problems.

    Args:
        path: where they were found; named in errors.
        found: all utterances there are, and what does not fit.
        wanted: sessions and labels to keep.

    Raises:
        CorpusError: utterances that cannot be used (all are named), or none that is wanted.
    """
    if wanted.alignment_offset_ms:
        raise CorpusError(f"{path}: an alignment offset ({wanted.alignment_offset_ms} ms) is for IEMOCAP's own alignment files")
    found = tuple(found)
    utterances = [each for each in found if isinstance(each, Utterance)]
    problems = [each for each in found if isinstance(each, Problem)]
    faults = [f"{each.id!r:.80}: {fault}" for each in utterances for fault in _faults(each)]
    counts = Counter(each.id for each in utterances)
    faults += [f"{name!r:.80}: the id of {count} utterances" for name, count in counts.items() if count > 1]
    if faults:
        more = f"\n  and {len(faults) - MAX_SHOWN:,} more" if len(faults) > MAX_SHOWN else ""
        shown = "\n  ".join(faults[:MAX_SHOWN])
        raise CorpusError(f"{path}: {len(faults):,} things are wrong with its utterances:\n  {shown}{more}")
    kept = [each for each in utterances if _is_wanted(each, wanted)]
    there = sorted({each.session for each in utterances})
    missing = [session for session in wanted.sessions or () if session not in there]
    if missing or (wanted.sessions is not None and not wanted.sessions):
        raise CorpusError(f"{path}: no session {', '.join(missing) or '(none asked for)'}; there are {', '.join(there)}")
    if not kept:
        labels = ", ".join(f"{label} {count}" for label, count in sorted(Counter(each.label for each in utterances).items()))
        asked = f" has a label of {', '.join(sorted(wanted.labels))}" if wanted.labels else ""
        raise CorpusError(f"{path}: no utterance{asked}; labels there: {labels or 'none'}")
    kept.sort(key=lambda each: (each.session, each.id))
    return Corpus(
        name="",
        kind="",
        synthetic=is_synthetic(path),
        utterances=tuple(kept),
        problems=(
            *problems,
            *(problem for each in kept for problem in lacks(each, str(each.wav))),
            *overlaps(kept),
            *mojibake(kept),
        ),
    )


def lacks(utterance: Utterance, where: str) -> list[Problem]:
    """What an utterance is without: its audio file, its transcript.

    Args:
        utterance: one with a label.
        where: file and line that it comes from.
    """
    problems: list[Problem] = []
    try:
        there = utterance.wav.is_file()
    except OSError:  # a name too long for the file system
        there = False
    if not there:
        message = f"{where}: there is no {utterance.wav}"
        problems.append(Problem(kind="label without wav", where=utterance.id, message=message))
    if utterance.text is None:
        message = f"{where}: no text"
        problems.append(Problem(kind="label without transcript", where=utterance.id, message=message))
    return problems


def mojibake(utterances: Sequence[Utterance]) -> list[Problem]:
    """A note where texts hold C1 control characters: apostrophes and quotes of cp1252 that were read as Latin-1."""
    found = [each for each in utterances if each.text and _C1.search(each.text)]
    if not found:
        return []
    shown = _C1.sub(lambda match: f"<U+{ord(match[0]):04X}>", found[0].text or "")
    message = (
        f"{len(found):,} texts hold control characters U+0080 to U+009F, which tokenizers drop, the first: {shown[:80]!r}; they "
        "are apostrophes and quotes of cp1252 that were read as Latin-1: write the file again in UTF-8"
    )
    return [Problem(kind="damaged text", where=found[0].id, message=message)]


def overlaps(utterances: Sequence[Utterance]) -> list[Problem]:
    """A note where parts of one recording overlap and have different labels."""
    parts = sorted(
        ((str(each.wav), each.start, each) for each in utterances if each.end is not None or each.start), key=lambda row: row[:2]
    )
    found = [
        (one, other)
        for (wav, _, one), (next_wav, start, other) in pairwise(parts)
        if wav == next_wav and (one.end is None or start < one.end) and one.label != other.label and one.channel == other.channel
    ]
    if not found:
        return []
    one, other = found[0]
    message = (
        f"{len(found):,} parts overlap one of another label, the first: {one.id} ({one.label}) and {other.id} ({other.label})"
    )
    return [Problem(kind="overlapping parts", where=other.id, message=message)]


def _is_wanted(utterance: Utterance, wanted: Wanted) -> bool:
    return (wanted.sessions is None or utterance.session in wanted.sessions) and (
        wanted.labels is None or utterance.label in wanted.labels
    )


def _faults(utterance: Utterance) -> list[str]:
    """What is wrong with the names of an utterance that a reader made."""
    faults = [fault for name in _NAMES for fault in name_faults(name, getattr(utterance, name))]
    faults += [f"no {name} (at most {MAX_NAME_BYTES} bytes)" for name in _NEEDED if not getattr(utterance, name)]
    if utterance.text is not None and not isinstance(utterance.text, str):
        faults.append(f"text must be text or None, got {utterance.text!r:.60}")
    return faults
