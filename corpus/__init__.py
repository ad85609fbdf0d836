"""What is on disk before a model runs: utterances, labels and alignments.

A `Corpus` comes from a folder in IEMOCAP's layout or from a manifest (`open_corpus` takes either). Its
utterances hold paths, not data: audio is opened by the extraction, and an alignment is parsed when its
`AlignmentSource` is read. What is wrong on disk but no reason to stop is listed in `Corpus.problems`;
`take_census` compares a copy of IEMOCAP with the full release.
"""

from mer.corpus.alignment import Alignment as Alignment
from mer.corpus.alignment import AlignmentError as AlignmentError
from mer.corpus.alignment import AlignmentSource as AlignmentSource
from mer.corpus.alignment import Segment as Segment
from mer.corpus.census import Census as Census
from mer.corpus.census import SessionCensus as SessionCensus
from mer.corpus.census import take_census as take_census
from mer.corpus.full_release import FULL_RELEASE as FULL_RELEASE
from mer.corpus.iemocap import read_iemocap as read_iemocap
from mer.corpus.manifest import read_manifest as read_manifest
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
