"""Any corpus from a path."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mer.corpus.corpora import corpus_at
from mer.corpus.utterance import Corpus
from mer.corpus.wanted import Wanted


def open_corpus(
    path: Path | str,
    *,
    sessions: Sequence[str] | None = None,
    labels: frozenset[str] | None = None,
    alignment_offset_ms: int = 0,
    audio_root: Path | str | None = None,
    encoding: str | None = None,
) -> Corpus:
    """Read what is at a path, as the kind of corpus that it is.

    Args:
        path: a folder or file that one of `CORPORA` recognises, or `NAME:PATH` with the kind's name.
        sessions: the sessions to keep; all by default.
        labels: the labels to keep, as the corpus spells them; all by default.
        alignment_offset_ms: added to the times of IEMOCAP's own alignments, >= 0; other corpora refuse it.
        audio_root: folder that the paths of a table's recordings are relative to; its own by default.
        encoding: what a table is written in; UTF-8, or UTF-16 with its mark, by default.

    Raises:
        CorpusError: if it cannot be read, or what is asked for is not there.
    """
    place = corpus_at(path)
    root = None if audio_root is None else Path(audio_root)
    wanted = Wanted(sessions=sessions, labels=labels, alignment_offset_ms=alignment_offset_ms, audio_root=root, encoding=encoding)
    corpus = place.kind.read(place.path, wanted)
    return replace(corpus, kind=place.name, name=corpus.name or place.name)
