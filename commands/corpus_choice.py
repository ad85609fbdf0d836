"""Which corpus, which utterances: what `extract` and `train-head` read out of their options."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mer.commands.options import DEFAULT_CORPUS

if TYPE_CHECKING:
    from mer.corpus import Corpus


def find_corpus(path: Path | None, session: str | None, classes: str | None, offset: int) -> "Corpus":
    """The corpus of `--corpus`, or the one that lies here, with the utterances of the wanted classes."""
    from mer.corpus import open_corpus
    from mer.settings.kinds import names_of

    found = path or DEFAULT_CORPUS
    kind = kind_of_corpus(path)
    if kind == "manifest" and not found.is_file():
        raise typer.BadParameter(f"{found}: no such manifest file", param_hint="--corpus")
    return open_corpus(
        found,
        sessions=names_of("--session", session) if session else None,
        labels=raw_labels(classes or default_classes(kind)),
        alignment_offset_ms=offset,
    )


def kind_of_corpus(path: Path | None) -> str:
    """`manifest` or `iemocap`, told from the name alone."""
    from mer.corpus.manifest import SUFFIXES

    return "manifest" if (path or DEFAULT_CORPUS).suffix in SUFFIXES else "iemocap"


def default_classes(kind: str) -> str:
    """Four classes for IEMOCAP; a manifest's labels as they are."""
    return "4" if kind == "iemocap" else "as-is"


def raw_labels(classes: str) -> frozenset[str] | None:
    """The corpus' own labels that make up the classes; None for all."""
    from mer.protocol import AS_IS, CLASS_MAPS

    if classes != AS_IS and classes not in CLASS_MAPS:
        raise typer.BadParameter(f"{classes!r}: expected one of {', '.join([*CLASS_MAPS, AS_IS])}", param_hint="--classes")
    return None if classes == AS_IS else frozenset(CLASS_MAPS[classes])


def revisions_by_encoder(given: Sequence[str]) -> dict[str, str]:
    """`speech=REV` and `text=REV` by encoder."""
    pairs = {name: value for name, _, value in (item.partition("=") for item in given)}
    if not all(pairs.values()) or set(pairs) - {"speech", "text"}:
        raise typer.BadParameter(f"{' '.join(given)}: expected speech=REV and/or text=REV", param_hint="--revision")
    return pairs
