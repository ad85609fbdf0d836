"""The entries of one kind that `mer` knows by name: fusion heads, corpora, encoder families, metrics."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

from mer.settings.plugins import load_plugins

Entry = TypeVar("Entry")


class UnknownEntryError(ValueError, KeyError):
    """A name that is not registered; the message has the valid ones and the nearest."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, in the order in which they were added.

    The modules that `MER_PLUGINS` names are imported before the first look at any registry: what they add is
    known to every command, and to the worker processes that a command starts.
    """

    def __init__(self, kind: str) -> None:
        """`kind` is the noun of one entry in messages: "fusion head"."""
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> Entry:
        """Make an entry known under a name, and return it.

        Raises:
            ValueError: when another entry has the name already.
        """
        if name in self._entries and self._entries[name] is not entry:
            raise ValueError(f"a {self.kind} named {name!r} exists already: choose another name")
        self._entries[name] = entry
        return entry

    @property
    def added(self) -> tuple[str, ...]:
        """Names that are known so far, without importing anything."""
        return tuple(self._entries)

    def __getitem__(self, name: str) -> Entry:
        """The entry of this name.

        Raises:
            UnknownEntryError: when nobody has added it.
        """
        load_plugins()
        if name not in self._entries:
            near = get_close_matches(name, list(self._entries), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UnknownEntryError(f"unknown {self.kind} {name!r}{hint}: expected one of {', '.join(self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        load_plugins()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        load_plugins()
        return iter(list(self._entries))

    def __len__(self) -> int:
        load_plugins()
        return len(self._entries)
