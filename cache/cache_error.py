"""What can be wrong with a cache."""

from collections.abc import Iterator
from contextlib import contextmanager

from mer.files import WriteError


class CacheError(ValueError):
    """A cache that cannot be made, read or trusted; the text says what to do."""


class UnknownUtteranceError(CacheError, KeyError):
    """An utterance id that the cache does not hold."""

    def __str__(self) -> str:
        # KeyError would print the sentence as a quoted string.
        return str(self.args[0]) if self.args else ""


@contextmanager
def refusals_named() -> Iterator[None]:
    """What the file system refuses within is an error of the cache."""
    try:
        yield
    except WriteError as problem:
        raise CacheError(str(problem)) from problem
