"""Forced alignment of speech with its text, where a corpus has none: `ALIGNERS` has an entry for each aligner.

Pocketsphinx (extra `align`) finds phones, syllables and words of English; `ctc` finds words in the language of any CTC
speech recogniser of Hugging Face.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.corpus.aligner.align_corpus import AlignSummary as AlignSummary
    from mer.corpus.aligner.align_corpus import align_corpus as align_corpus
    from mer.corpus.aligner.align_corpus import default_processes as default_processes
    from mer.corpus.aligner.align_error import AlignError as AlignError
    from mer.corpus.aligner.aligner_kind import Aligned as Aligned
    from mer.corpus.aligner.aligner_kind import AlignerKind as AlignerKind
    from mer.corpus.aligner.aligner_kind import OpenAligner as OpenAligner
    from mer.corpus.aligner.aligner_options import AlignerOptions as AlignerOptions
    from mer.corpus.aligner.compare_alignments import Agreement as Agreement
    from mer.corpus.aligner.compare_alignments import compare_alignments as compare_alignments
    from mer.corpus.aligner.pocketsphinx_aligner import Aligner as Aligner
    from mer.corpus.aligner.pocketsphinx_aligner import align as align
    from mer.corpus.aligner.pocketsphinx_aligner import aligner_name as aligner_name
    from mer.corpus.aligner.registry import ALIGNERS as ALIGNERS
    from mer.corpus.aligner.registry import AlignerChoice as AlignerChoice
    from mer.corpus.aligner.spoken_words import spoken_words as spoken_words
    from mer.corpus.aligner.unknown_words import say_unknown_word as say_unknown_word
else:
    __getattr__ = lazy(__name__)
