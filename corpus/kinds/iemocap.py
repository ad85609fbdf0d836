"""IEMOCAP (Busso et al., 2008), and the synthetic corpus in its layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mer.corpus.corpus_kind import CorpusKind
from mer.corpus.wanted import ALL, Wanted

if TYPE_CHECKING:
    from mer.corpus.census import Census
    from mer.corpus.utterance import Corpus


class Iemocap(CorpusKind):
    """Five sessions of two actors each."""

    title = "IEMOCAP"
    layout = "the folder IEMOCAP_full_release, with Session1 to Session5"
    classes = "4"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        # Zhao 2022 and most of the field: excitement counts as happiness, 5,531 utterances.
        "4": {"ang": "angry", "hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral"},
        # Earlier work, before excitement was merged: happiness is then the rarest class by far.
        "4-noexc": {"ang": "angry", "hap": "happy", "sad": "sad", "neu": "neutral"},
        # The four classes and frustration, which is the commonest label of all.
        "5": {"ang": "angry", "hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral", "fru": "frustrated"},
        # The six-way set of conversational emotion recognition: excitement and frustration on their own.
        "6": {"ang": "angry", "hap": "happy", "exc": "excited", "sad": "sad", "neu": "neutral", "fru": "frustrated"},
    }
    languages = ("en",)
    limits = "**Trained on acted speech**: ten English-speaking actors in a laboratory. Spontaneous emotion is weaker and mixed."

    def recognises(self, path: Path) -> bool:
        """A folder with at least one session."""
        from mer.corpus.iemocap_session import has_sessions

        return has_sessions(path)

    def read(self, path: Path, wanted: Wanted) -> "Corpus":
        """The wanted utterances; what does not fit in files that are read is listed as problems."""
        from mer.corpus.iemocap import read_iemocap

        return read_iemocap(path, sessions=wanted.sessions, labels=wanted.labels, alignment_offset_ms=wanted.alignment_offset_ms)

    def survey(self, path: Path, wanted: Wanted = ALL) -> "tuple[Corpus, Census]":
        """Counts beside those of the full release, and the ids that are missing or extra, of all that is in the sessions."""
        from mer.corpus.iemocap import read_iemocap
        from mer.corpus.iemocap_census import take_census
        from mer.corpus.iemocap_session import read_session, session_folders

        files = {session: read_session(folder, session) for session, folder in session_folders(path).items()}
        corpus = read_iemocap(
            path,
            sessions=wanted.sessions,
            labels=wanted.labels,
            alignment_offset_ms=wanted.alignment_offset_ms,
            known=files,
        )
        return corpus, take_census(path, files)
