"""Where an audio file says that it ends, against where it does: a recording that was cut off is found before it is used.

Decoders read what is there of a file and say nothing of the rest. Each module here reads the frame of one container: no
sample is decoded, but for a FLAC file whose end looks odd.
"""

from mer.corpus.containers.extent import Extent as Extent
from mer.corpus.containers.read_extent import read_extent as read_extent
