"""What is wrong with a result on disk."""


class ResultError(ValueError):
    """A file of a run directory, a grid or an export that is damaged, foreign or of another version; the text names the file."""
