"""What is on disk before a model runs: utterances, labels and alignments.

`CORPORA` has an entry for every kind of corpus; `open_corpus` reads whichever lies at a path. The utterances of a `Corpus`
hold paths, not data: audio is opened by the extraction, and an alignment is parsed when its `AlignmentSource` is read. What is
wrong on disk but no reason to stop is listed in `Corpus.problems`.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.corpus.alignment import Alignment as Alignment
    from mer.corpus.alignment import AlignmentError as AlignmentError
    from mer.corpus.alignment import AlignmentSource as AlignmentSource
    from mer.corpus.alignment import Segment as Segment
    from mer.corpus.census import Census as Census
    from mer.corpus.census import census_of as census_of
    from mer.corpus.corpora import CLASS_MAPS as CLASS_MAPS
    from mer.corpus.corpora import CORPORA as CORPORA
    from mer.corpus.corpora import corpora_at as corpora_at
    from mer.corpus.corpora import corpus_at as corpus_at
    from mer.corpus.corpus_kind import AS_IS as AS_IS
    from mer.corpus.corpus_kind import CorpusKind as CorpusKind
    from mer.corpus.open_corpus import open_corpus as open_corpus
    from mer.corpus.praat_alignment import TextGridAlignment as TextGridAlignment
    from mer.corpus.sphinx_alignment import SphinxAlignment as SphinxAlignment
    from mer.corpus.syllables import syllabify as syllabify
    from mer.corpus.transcript_tags import is_only_tags as is_only_tags
    from mer.corpus.transcript_tags import remove_tags as remove_tags
    from mer.corpus.unspoken import is_filler as is_filler
    from mer.corpus.unspoken import is_silence as is_silence
    from mer.corpus.utterance import Corpus as Corpus
    from mer.corpus.utterance import CorpusError as CorpusError
    from mer.corpus.utterance import Problem as Problem
    from mer.corpus.utterance import Utterance as Utterance
    from mer.corpus.wanted import Wanted as Wanted
else:
    __getattr__ = lazy(__name__)
