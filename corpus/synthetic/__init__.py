"""A small corpus of synthetic emotional speech in IEMOCAP's own directory layout and file formats.

espeak-ng speaks invented sentences with ten voices. Emotion is carried partly by words and partly by
prosody, each alone ambiguous for a share of utterances, so that a fusion of both has something to gain.
"""

from mer.corpus.synthetic.write_corpus import EXACT_TIMES as EXACT_TIMES
from mer.corpus.synthetic.write_corpus import MARKER as MARKER
from mer.corpus.synthetic.write_corpus import ensure_synthetic_corpus as ensure_synthetic_corpus
from mer.corpus.synthetic.write_corpus import write_synthetic_corpus as write_synthetic_corpus
