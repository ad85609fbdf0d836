"""Times that are not those of the recordings: of the episode that clips were cut from (MELD), or in another unit."""

from collections.abc import Sequence
from pathlib import Path

from mer.corpus.audio import AudioError, read_header
from mer.corpus.utterance import CorpusError, Utterance

LOOKED_AT = 20
"""Parts, at equal distances, whose recordings are looked at."""


def refuse_times_beyond(path: Path, columns: Sequence[str], utterances: Sequence[Utterance]) -> None:
    """Refuse a table all of whose rows begin after the end of their recordings: none of them could be read.

    Args:
        path: the table.
        columns: what its times are called there.
        utterances: all of them; files that cannot be read say nothing.

    Raises:
        CorpusError: with the first of them, and what to do.
    """
    if not all(each.start for each in utterances):
        return
    step = max(1, len(utterances) // LOOKED_AT)
    chosen = utterances[::step]
    lengths = [(each, seconds) for each in chosen if (seconds := _seconds(each.wav)) is not None]
    if not lengths or any(each.start < seconds for each, seconds in lengths):
        return
    first, seconds = lengths[0]
    end = "the end" if first.end is None else f"{first.end:g} s"
    raise CorpusError(
        f"{path}: {', '.join(map(repr, columns))} are not times of its recordings: {len(lengths)} rows were looked at, and all "
        f"begin after the end of their file, the first, {first.id!r}, from {first.start:g} s to {end} of a file of {seconds:.3f} "
        "s. If every file is one utterance, cut out of something longer (MELD's clips of their episode), leave these columns "
        "out; if they are in another unit, say it in their names (start_ms, start_samples)"
    )


def _seconds(wav: Path) -> float | None:
    try:
        return read_header(wav).seconds
    except AudioError:  # said when its turn comes
        return None
