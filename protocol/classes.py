"""Class maps: which labels of a corpus make which classes, in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mer.protocol.errors import ProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS_MAPS: Mapping[str, Mapping[str, str]] = {
    # Zhao 2022 and most of the field: excitement counts as happiness, 5,531 utterances of IEMOCAP.
    "4": {"ang": "angry", "hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral"},
    # Earlier work, before excitement was merged: happiness is then the rarest class by far.
    "4-noexc": {"ang": "angry", "hap": "happy", "sad": "sad", "neu": "neutral"},
    # The six-way set of conversational emotion recognition: excitement and frustration on their own.
    "6": {
        "ang": "angry",
        "hap": "happy",
        "exc": "excited",
        "sad": "sad",
        "neu": "neutral",
        "fru": "frustrated",
    },
}
"""Name of a map to {label of IEMOCAP: class}. Classes are numbered in the order they first appear here."""

AS_IS = "as-is"
"""The map that keeps every label of a corpus as a class of its own."""


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Labels to classes. The order of `classes` is the order of every logit, column and confusion matrix."""

    name: str
    """A key of `CLASS_MAPS`, or `as-is`."""
    classes: tuple[str, ...]
    """Class names in their fixed order."""
    mapping: Mapping[str, str]
    """Label of the corpus to class name; labels that are not here are left out."""

    def indices(self, labels: Sequence[str]) -> "NDArray[np.int64]":
        """Class number of each label; -1 where the label belongs to no class."""
        number = {label: self.classes.index(name) for label, name in self.mapping.items()}
        import numpy as np  # not for the names of classes, which help and refusals need at once

        return np.array([number.get(label, -1) for label in labels], dtype=np.int64)


def class_map(name: str, labels: Sequence[str]) -> ClassMap:
    """The class map called `name`.

    Args:
        name: a key of `CLASS_MAPS`, or `as-is`: the labels themselves, sorted; utterances without a label are
            left out.
        labels: the labels of the corpus, one per utterance. A map of `CLASS_MAPS` keeps all its classes even
            where the corpus has no utterance of one.

    Raises:
        ProtocolError: an unknown name, no label that the map knows, or fewer than two classes.
    """
    found = sorted(set(labels) - {""})
    if name == AS_IS:
        chosen = ClassMap(name=name, classes=tuple(found), mapping={label: label for label in found})
    elif name in CLASS_MAPS:
        mapping = CLASS_MAPS[name]
        chosen = ClassMap(name=name, classes=tuple(dict.fromkeys(mapping.values())), mapping=mapping)
    else:
        raise ProtocolError(f"unknown classes {name!r}, expected one of {', '.join([*CLASS_MAPS, AS_IS])}")
    if not set(found) & set(chosen.mapping):
        raise ProtocolError(
            f"no utterance has a label of classes {name!r} ({', '.join(chosen.mapping) or 'none'}); "
            f"the labels are {', '.join(found) or 'all empty'}: use classes {AS_IS!r} to keep them"
        )
    if len(chosen.classes) < 2:
        raise ProtocolError(f"classes {name!r} give only {', '.join(chosen.classes)}: at least two are needed")
    return chosen
