"""Every kind of corpus by name, and which of them lies at a path."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mer.corpus.class_map_file import ENDING, read_class_map
from mer.corpus.corpus_kind import AS_IS, CorpusKind
from mer.corpus.kinds.audformat import AudFormat
from mer.corpus.kinds.audiofolder import AudioFolder
from mer.corpus.kinds.crema_d import CremaD
from mer.corpus.kinds.emobox import EmoBox
from mer.corpus.kinds.emodb import EmoDb
from mer.corpus.kinds.esd import Esd
from mer.corpus.kinds.iemocap import Iemocap
from mer.corpus.kinds.kaldi import Kaldi
from mer.corpus.kinds.lhotse import Lhotse
from mer.corpus.kinds.manifest import Manifest
from mer.corpus.kinds.meld import Meld
from mer.corpus.kinds.msp_podcast import MspPodcast
from mer.corpus.kinds.ravdess import Ravdess
from mer.corpus.kinds.savee import Savee
from mer.corpus.kinds.speechbrain import SpeechBrain
from mer.corpus.kinds.tess import Tess
from mer.corpus.utterance import CorpusError
from mer.settings import Registry


class ClassMaps(Registry[Mapping[str, str]]):
    """Class maps by name; the path of a TOML file names the one that it holds."""

    def __getitem__(self, name: str) -> Mapping[str, str]:
        """The map; raises CorpusError for a file that cannot be read."""
        return read_class_map(Path(name)) if name.endswith(ENDING) else super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return str(name).endswith(ENDING) or super().__contains__(name)


CLASS_MAPS = ClassMaps("class map")
"""Name of a class map to {label of the corpus: class}; an empty one keeps every label.

Classes are numbered in the order they first appear here.
"""


class Corpora(Registry[CorpusKind]):
    """Kinds of corpora; a kind that is added brings its class maps."""

    def add(self, name: str, entry: CorpusKind) -> CorpusKind:
        """Make a kind of corpus known under a name, and its class maps under theirs.

        Raises:
            ValueError: when a name is taken by something else, or holds a colon.
        """
        if ":" in name:
            raise ValueError(f"a corpus cannot be named {name!r}: the colon of NAME:PATH ends the name")
        for title, mapping in entry.class_maps.items():
            CLASS_MAPS.add(title, mapping)
        return super().add(name, entry)


CORPORA = Corpora("corpus")
"""Kind of corpus by the name that caches, results and `--corpus NAME:PATH` call it."""
CORPORA.add("iemocap", Iemocap())
CORPORA.add("manifest", Manifest())
CLASS_MAPS.add(AS_IS, {})
CORPORA.add("meld", Meld())
CORPORA.add("msp-podcast", MspPodcast())
CORPORA.add("ravdess", Ravdess())
CORPORA.add("crema-d", CremaD())
CORPORA.add("emodb", EmoDb())
CORPORA.add("esd", Esd())
CORPORA.add("savee", Savee())
CORPORA.add("tess", Tess())
CORPORA.add("speechbrain", SpeechBrain())
CORPORA.add("audiofolder", AudioFolder())
CORPORA.add("kaldi", Kaldi())
CORPORA.add("lhotse", Lhotse())
CORPORA.add("emobox", EmoBox())
CORPORA.add("audformat", AudFormat())


class CorpusPlace(NamedTuple):
    """A corpus on disk, not yet read."""

    name: str
    """Its kind, as a name of `CORPORA`."""
    kind: CorpusKind
    """The same kind itself."""
    path: Path
    """Its folder or file."""


def corpora_at(path: Path | str) -> list[CorpusPlace]:
    """Every kind of corpus that a path can be meant as; `NAME:PATH` says which. One that reads any table gives way to others."""
    path = Path(path)
    name, colon, rest = str(path).partition(":")
    if colon and name in CORPORA and not path.exists():
        return [CorpusPlace(name, CORPORA[name], Path(rest))]
    found = [CorpusPlace(name, kind, path) for name, kind in CORPORA.items() if _is_at(kind, path)]
    return [each for each in found if not each.kind.reads_any_table] or found


def _is_at(kind: CorpusKind, path: Path) -> bool:
    try:
        return kind.recognises(path)
    except OSError:  # not ours to read, or gone since it was listed
        return False


def corpus_at(path: Path | str) -> CorpusPlace:
    """The kind of corpus that lies at a path; `NAME:PATH` says which.

    Raises:
        CorpusError: none that is known, or several that could be meant.
    """
    path = Path(path)
    found = corpora_at(path)
    if len(found) == 1:
        return found[0]
    if found:
        meant = " or ".join(f"{each.name}:{path}" for each in found)
        raise CorpusError(f"{path}: could be a corpus of several kinds: give {meant}")
    what = "has the layout of no corpus that is known" if path.exists() else "no such file or folder"
    layouts = "".join(f"\n  {name}: {kind.layout}" for name, kind in CORPORA.items())
    raise CorpusError(f"{path}: {what}.{_nearby(path)} Expected one of{layouts}\n`mer demo` needs no corpus")


def _nearby(path: Path) -> str:
    """A hint at a corpus around a folder, or in it; a file that may be any table is no hint."""
    if not path.is_dir():
        return ""
    here = path.absolute()
    for folder in list(here.parents)[:4]:
        # A folder of downloads can be read as the one corpus that lies somewhere in it: it is no corpus around what lies beside.
        if _is_surely_one(folder) and not any(_is_surely_one(child) for child in _inside(folder) if child not in here.parents):
            return f" This is a part of a corpus: give {folder}."
    for child in _inside(path):
        if _is_surely_one(child):
            return f" A corpus is inside: give {child}."
    return ""


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:
        return []


def _is_surely_one(path: Path) -> bool:
    return any(not each.kind.reads_any_table for each in corpora_at(path))
