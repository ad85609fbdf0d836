"""Which corpus, which utterances: what `extract` and `train-head` read out of their options."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mer.commands.console import say
from mer.commands.options import DEFAULT_CORPUS
from mer.settings.shared_options import audio_root_option, encoding_option

if TYPE_CHECKING:
    from mer.corpus import Corpus
    from mer.corpus.given_texts import GivenTexts


@dataclass(frozen=True, kw_only=True)
class HowTablesAreRead:
    """Where the recordings of a table of one's own are, and what it is written in."""

    audio_root: Path | None = audio_root_option()
    encoding: str | None = encoding_option()


def find_corpus(
    path: Path | None, sessions: Sequence[str] | None, classes: str | None, offset: int, tables: HowTablesAreRead
) -> "Corpus":
    """The corpus of `--corpus`, or the one that lies here, with the utterances of the wanted classes."""
    from mer.corpus import open_corpus

    return open_corpus(
        path or DEFAULT_CORPUS,
        sessions=sessions,
        labels=raw_labels(classes or classes_of(path)),
        alignment_offset_ms=offset,
        audio_root=tables.audio_root,
        encoding=tables.encoding,
    )


def with_other_texts(corpus: "Corpus", texts: Path, quiet: bool) -> "tuple[Corpus, GivenTexts]":
    """The corpus with the transcripts of `--texts`, and these, which are a part of what a result is known by.

    Raises:
        CorpusError: a file that cannot be read, or that lacks utterances.
    """
    from mer.corpus.given_texts import read_texts, with_texts

    given = read_texts(texts)
    corpus, notes = with_texts(corpus, given)
    for note in notes:
        say(f"note: {note}", quiet)
    return corpus, given


def classes_of(path: Path | None) -> str:
    """The class map that the corpus of `--corpus`, or the one that lies here, usually has."""
    from mer.corpus import corpus_at

    return corpus_at(path or DEFAULT_CORPUS).kind.classes


def raw_labels(classes: str) -> frozenset[str] | None:
    """The corpus' own labels that make up the classes; None for all."""
    from mer.corpus import CLASS_MAPS

    return frozenset(CLASS_MAPS[classes]) or None


def revisions_by_encoder(given: Sequence[str], *, names: bool = False) -> dict[str, str]:
    """`speech=REV` and `text=REV` by encoder.

    Args:
        given: as it was typed.
        names: whether there are several encoders, each with a name of its own.
    """
    pairs = {name: value for name, _, value in (item.partition("=") for item in given)}
    if not all(pairs.values()) or (set(pairs) - {"speech", "text"} and not names):
        expected = "NAME=REV, with the name of an encoder" if names else "speech=REV and/or text=REV"
        raise typer.BadParameter(f"{' '.join(given)}: expected {expected}", param_hint="--revision")
    return pairs
