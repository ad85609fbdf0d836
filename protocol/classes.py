"""Which labels of a corpus make which classes: a class map, applied."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mer.corpus.class_map_file import ENDING, OwnClassMap
from mer.corpus.corpora import CLASS_MAPS as CLASS_MAPS
from mer.corpus.corpus_kind import AS_IS
from mer.protocol.errors import ProtocolError
from mer.settings.option import WHAT, option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

classes_option = partial(
    option,
    default="4",
    help="4 (hap and exc merged), 4-noexc, 5, 6, as-is, or a TOML file with classes of your own (docs/own-corpus.md).",
    choices=CLASS_MAPS,
    own_file=ENDING,
    panel=WHAT,
)
_KNOWN_BY_NAME = ("4", "4-noexc", "6", AS_IS)


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Labels to classes. The order of `classes` is the order of every logit, column and confusion matrix."""

    name: str
    """A key of `CLASS_MAPS`, which may be the path of a file."""
    classes: tuple[str, ...]
    """Class names in their fixed order."""
    mapping: Mapping[str, str]
    """Label of the corpus to class name; labels that are not here are left out."""

    def identity(self) -> dict[str, object]:
        """What the identity of a run holds of it beside its name, which says it all for the first maps of IEMOCAP and `as-is`."""
        order = {"class_order": list(self.classes)} if isinstance(self.mapping, OwnClassMap) else {}
        return {} if self.name in _KNOWN_BY_NAME else {"class_map": dict(self.mapping), **order}

    def indices(self, labels: Sequence[str]) -> "NDArray[np.int64]":
        """Class number of each label; -1 where the label belongs to no class."""
        number = {label: self.classes.index(name) for label, name in self.mapping.items()}
        import numpy as np  # not for the names of classes, which help and refusals need at once

        return np.array([number.get(label, -1) for label in labels], dtype=np.int64)


def portable_name(classes: str) -> str:
    """What an identity calls a class map: of a file its name, wherever it lies, as the identity has its content."""
    return Path(classes).name if classes.endswith(ENDING) else classes


def fewer_classes(classes: ClassMap, labels: Sequence[str], drop: Sequence[str], least: int) -> ClassMap:
    """The class map without some classes; their utterances take no part.

    Args:
        classes: all of them.
        labels: the labels of the corpus, one per utterance.
        drop: names of classes to leave out.
        least: classes with fewer utterances are left out.

    Raises:
        ProtocolError: no such class, or fewer than two that are left.
    """
    if unknown := [name for name in drop if name not in classes.classes]:
        raise ProtocolError(f"there is no class {', '.join(unknown)} to drop, expected some of {', '.join(classes.classes)}")
    counts = Counter(classes.mapping.get(label) for label in labels)
    kept = tuple(name for name in classes.classes if name not in drop and counts[name] >= least)
    if len(kept) < 2:
        told = ", ".join(f"{name} {counts[name]:,}" for name in classes.classes)
        raise ProtocolError(
            f"only {', '.join(kept) or 'no class'} would be left, and two are needed; the classes have these utterances: {told}. "
            "Drop fewer with --drop-class, or lower --min-per-class"
        )
    mapping = {label: name for label, name in classes.mapping.items() if name in kept}
    return ClassMap(name=classes.name, classes=kept, mapping=mapping)


def usual_classes(kind: str) -> str:
    """Name of the class map that a kind of corpus usually has.

    Args:
        kind: a name of `mer.corpus.CORPORA`, as a cache has it.

    Raises:
        UnknownEntryError: there is no such kind; the module that adds it may not be loaded.
    """
    from mer.corpus.corpora import CORPORA

    return CORPORA[kind].classes


def class_map(name: str, labels: Sequence[str]) -> ClassMap:
    """The class map called `name`.

    Args:
        name: a key of `CLASS_MAPS`; the path of a TOML file with one's own; `as-is`: the labels themselves, sorted; utterances
            without a label are left out.
        labels: the labels of the corpus, one per utterance. A map of `CLASS_MAPS` keeps all its classes even
            where the corpus has no utterance of one.

    Raises:
        ProtocolError: an unknown name, no label that the map knows, one that a map of one's own says nothing of, or fewer than
            two classes.
        CorpusError: a file that cannot be read.
    """
    found = sorted(set(labels) - {""})
    if name == AS_IS:
        chosen = ClassMap(name=name, classes=tuple(found), mapping={label: label for label in found})
    elif name in CLASS_MAPS:
        mapping = CLASS_MAPS[name]
        chosen = ClassMap(name=name, classes=tuple(dict.fromkeys(mapping.values())), mapping=mapping)
    else:
        raise ProtocolError(f"unknown classes {name!r}, expected one of {', '.join(CLASS_MAPS)}")
    if not set(found) & set(chosen.mapping):
        raise ProtocolError(
            f"no utterance has a label of classes {name!r} ({', '.join(chosen.mapping) or 'none'}); "
            f"the labels are {', '.join(found) or 'all empty'}: use classes {AS_IS!r} to keep them"
        )
    if isinstance(chosen.mapping, OwnClassMap) and (forgotten := chosen.mapping.forgotten(found)):
        raise ProtocolError(
            f"classes {name}: the file says nothing of the label{'s' * (len(forgotten) > 1)} {', '.join(forgotten)}: give a "
            'class to each, or name it in drop = ["..."] ("*" drops all that are not named)'
        )
    if len(chosen.classes) < 2:
        raise ProtocolError(f"classes {name!r} give only {', '.join(chosen.classes)}: at least two are needed")
    return chosen
