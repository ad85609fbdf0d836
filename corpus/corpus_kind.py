"""What `mer` has to know of one kind of corpus: a subclass of `CorpusKind`, of which an instance is added to `CORPORA`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mer.corpus.wanted import ALL, Wanted

if TYPE_CHECKING:
    from mer.corpus.census import Census
    from mer.corpus.utterance import Corpus, Problem, Utterance

AS_IS = "as-is"
"""The class map that keeps every label of a corpus as a class of its own."""


class CorpusKind:
    """One kind of corpus: how it is recognised, read and counted, and which classes its labels make.

    A subclass says `title`, `layout`, `recognises` and `utterances`; all else may stay as it is here.
    """

    title: ClassVar[str]
    """Its name for people."""
    layout: ClassVar[str]
    """What a copy of it looks like on disk, for people who give a wrong path."""
    classes: ClassVar[str] = AS_IS
    """Class map that is used where the user names none."""
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Class maps that it brings: name to {label: class}."""
    released: ClassVar[Mapping[str, int] | None] = None
    """Utterances per label of a whole copy, which the census compares with; None where that is not known."""
    languages: ClassVar[tuple[str, ...]] = ()
    """What is spoken in it, as ISO 639-1 codes, for model cards; empty for a format, in which any corpus may be."""
    limits: ClassVar[str] = ""
    """What readers of a model card must know of a model that was trained on it, as one Markdown sentence or more."""
    reads_any_table: ClassVar[bool] = False
    """Whether it recognises every file: where another kind recognises one, too, that kind is meant."""

    def recognises(self, path: Path) -> bool:
        """Whether there is a corpus of this kind at a path; a quick look, for every kind is asked."""
        raise NotImplementedError

    def utterances(self, path: Path) -> Iterable["Utterance | Problem"]:
        """Every utterance with a label, and a `Problem` for whatever else does not fit; no audio is opened.

        Raises:
            CorpusError: a corpus that cannot be read.
        """
        raise NotImplementedError

    def read(self, path: Path, wanted: Wanted) -> "Corpus":
        """The wanted utterances, sorted by session and id, and what is wrong on disk.

        Raises:
            CorpusError: a corpus that cannot be read, or without what is wanted.
        """
        from mer.corpus.gather import gather

        return gather(path, self.utterances(path), wanted)

    def survey(self, path: Path, wanted: Wanted = ALL) -> "tuple[Corpus, Census]":
        """What `read` gives and the same counted, for `mer doctor`; the disk is looked at once.

        Raises:
            CorpusError: a corpus that cannot be read, or without what is wanted.
        """
        from mer.corpus.census import census_of

        corpus = self.read(path, wanted)
        return corpus, census_of(path, self.title, corpus, self.released)
