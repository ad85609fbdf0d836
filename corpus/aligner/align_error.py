"""What the aligner refuses."""

from mer.corpus.alignment import AlignmentError


class AlignError(AlignmentError):
    """Speech and text that cannot be aligned, or an aligner that is not there; says which and what to do."""
