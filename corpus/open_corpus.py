"""Any corpus from a path: a folder in IEMOCAP's layout, or a manifest."""

from collections.abc import Sequence
from pathlib import Path

from mer.corpus.iemocap import read_iemocap
from mer.corpus.manifest import read_manifest
from mer.corpus.utterance import Corpus, CorpusError


def open_corpus(
    path: Path,
    *,
    sessions: Sequence[str] | None = None,
    labels: frozenset[str] | None = None,
    alignment_offset_ms: int = 0,
) -> Corpus:
    """Read what is at a path: a file is a manifest, anything else is taken for an IEMOCAP folder.

    Args:
        path: the folder `IEMOCAP_full_release`, or a `.jsonl` or `.csv` file.
        sessions: the sessions to keep; all by default.
        labels: the labels to keep, as the corpus spells them; all by default.
        alignment_offset_ms: added to the times of IEMOCAP's own alignments, >= 0; a manifest has none.

    Raises:
        CorpusError: if it cannot be read, or what is asked for is not there.
    """
    if not path.is_file():
        return read_iemocap(path, sessions=sessions, labels=labels, alignment_offset_ms=alignment_offset_ms)
    if alignment_offset_ms:
        raise CorpusError(
            f"{path}: an alignment offset ({alignment_offset_ms} ms) is for IEMOCAP's own alignment files; "
            "TextGrids carry their exact times"
        )
    return read_manifest(path, sessions=sessions, labels=labels)
