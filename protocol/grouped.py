"""What has to be known of utterances to share them out, and how groups of them are ordered."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Grouped(Protocol):
    """What is known of each row; `mer.heads.training.selection.Selection` has it."""

    @property
    def ids(self) -> Sequence[str]:
        """Id of each."""
        ...

    @property
    def speakers(self) -> Sequence[str]:
        """Who speaks; empty where unknown."""
        ...

    @property
    def sessions(self) -> Sequence[str]:
        """Session of each."""
        ...

    @property
    def dialogues(self) -> Sequence[str]:
        """Recording that each was cut from; empty where unknown."""
        ...

    @property
    def more(self) -> Sequence[Mapping[str, Any]]:
        """What else the corpus says: `split`, `columns`."""
        ...


def group_names(groups: Sequence[str]) -> tuple[str, ...]:
    """Sessions, speakers or other groups in fold order: numbers by value, then other names by spelling."""
    return tuple(sorted(set(groups), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
