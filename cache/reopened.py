"""What is open in one process, in another: it goes there as its place on disk, and is opened when it is first used.

A mapped file is one process' own. A worker of a `DataLoader`, of joblib or of a `multiprocessing` pool gets the path instead,
and an error of opening is raised where the cache is used, not while the worker starts, which would end without a word.
"""

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

_OPENS = "_opens"
_opening = RLock()
Kind = TypeVar("Kind", bound="Reopened")


class Reopened:
    """What is pickled as the call that opens it again."""

    def reopening(self) -> Callable[[], "Reopened"]:
        """A call, which can be pickled, that opens the same once more."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return _unopened, (type(self), self.__dict__.get(_OPENS) or self.reopening())

    if not TYPE_CHECKING:  # a checker would let any name pass

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("__"):  # pickle and copy look for methods that nobody has
                with _opening:
                    if (opens := self.__dict__.get(_OPENS)) is not None:
                        self.__dict__.update(opens().__dict__)
                        del self.__dict__[_OPENS]
            return object.__getattribute__(self, name)


def _unopened(kind: type[Kind], opens: Callable[[], Kind]) -> Kind:
    found = kind.__new__(kind)
    found.__dict__[_OPENS] = opens
    return found
