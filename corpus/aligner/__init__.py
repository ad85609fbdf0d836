"""Forced alignment of English speech with its text, where a corpus has none: pocketsphinx (extra `align`)."""

from mer.corpus.aligner.align_corpus import AlignSummary as AlignSummary
from mer.corpus.aligner.align_corpus import align_corpus as align_corpus
from mer.corpus.aligner.align_corpus import default_processes as default_processes
from mer.corpus.aligner.align_error import AlignError as AlignError
from mer.corpus.aligner.compare_alignments import Agreement as Agreement
from mer.corpus.aligner.compare_alignments import compare_alignments as compare_alignments
from mer.corpus.aligner.letter_to_sound import letter_to_sound as letter_to_sound
from mer.corpus.aligner.pocketsphinx_aligner import Aligner as Aligner
from mer.corpus.aligner.pocketsphinx_aligner import align as align
from mer.corpus.aligner.pocketsphinx_aligner import aligner_name as aligner_name
from mer.corpus.aligner.spoken_words import spoken_words as spoken_words
