"""A table of one's own recordings, one row per utterance."""

from pathlib import Path
from typing import TYPE_CHECKING

from mer.corpus.corpus_kind import CorpusKind
from mer.corpus.wanted import Wanted

if TYPE_CHECKING:
    from mer.corpus.utterance import Corpus

SUFFIXES = (".jsonl", ".csv", ".tsv", ".txt")
"""What a manifest's name ends with."""


class Manifest(CorpusKind):
    """JSON Lines, or a table with a header."""

    title = "manifest"
    layout = f"a file that ends with {', '.join(SUFFIXES)}, one row per utterance"
    reads_any_table = True

    def recognises(self, path: Path) -> bool:
        """Any file: one with another ending is refused when it is read, which says what is expected."""
        return path.is_file()

    def read(self, path: Path, wanted: Wanted) -> "Corpus":
        """The wanted rows; what is missing on disk is listed as problems."""
        from mer.corpus.manifest import read_manifest

        return read_manifest(path, wanted)
