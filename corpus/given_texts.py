"""Transcripts from elsewhere, such as a speech recogniser's, in place of a corpus' own."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mer.corpus.manifest_file import ManifestFile
from mer.corpus.utterance import Corpus, CorpusError

SHOWN = 5
"""Ids that a message names."""


@dataclass(frozen=True, kw_only=True)
class GivenTexts:
    """Utterance ids with their transcripts, as a file has them."""

    path: Path
    """The file."""
    texts: Mapping[str, str]
    """Id to transcript; empty where nothing was recognised."""

    @property
    def sha256(self) -> str:
        """What tells these transcripts from others: of the ids and texts alone, in whatever form they are written."""
        return hashlib.sha256(json.dumps(sorted(self.texts.items()), ensure_ascii=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, str]:
        """As a result records them."""
        return {"file": self.path.name, "sha256": self.sha256}


def read_texts(path: Path | str, encoding: str | None = None) -> GivenTexts:
    """Read a table or JSON Lines file with the columns `id` and `text`, in the spellings and dialects of a manifest.

    Args:
        path: its name ends as a manifest's.
        encoding: what it is written in; UTF-8, or UTF-16 with its mark, by default.

    Raises:
        CorpusError: a file or line that cannot be read, a column that is not there, an id that is there twice, or no row.
    """
    path = Path(path)
    problems: list[str] = []
    texts: dict[str, str] = {}
    first: dict[str, int] = {}
    for place in ManifestFile(path, encoding).rows(lambda line, what: problems.append(f"line {line}: {what}")):
        if missing := [name for name in ("id", "text") if name not in place.row]:
            there = ", ".join(place.row)
            raise CorpusError(f"{path}: line {place.line} has no column {' and no column '.join(missing)}; it has {there}")
        name, text = place.row["id"], place.row["text"]
        if name is None or isinstance(name, float | bool | dict | list) or not isinstance(text, str | None):
            problems.append(f"line {place.line}: expected an id and a text, got {name!r:.40} and {text!r:.40}")
        elif str(name) in texts:
            problems.append(f"line {place.line}: {str(name)!r} is there twice, first in line {first[str(name)]}")
        else:
            texts[str(name)], first[str(name)] = text or "", place.line
    if problems:
        more = f"; and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
        raise CorpusError(f"{path}: {'; '.join(problems[:SHOWN])}{more}")
    if not texts:
        raise CorpusError(f"{path}: holds no row; expected the columns id and text, one row per utterance")
    return GivenTexts(path=path, texts=texts)


def with_texts(corpus: Corpus, given: GivenTexts) -> tuple[Corpus, tuple[str, ...]]:
    """The corpus with these transcripts, and what there is to say of them.

    No transcript of the corpus' own is kept beside them. An empty one, where nothing was recognised, is a text without words.

    Raises:
        CorpusError: utterances that the file does not have.
    """
    missing = [each.id for each in corpus if each.id not in given.texts]
    if missing:
        raise CorpusError(
            f"{given.path}: {len(missing):,} of the {len(corpus):,} utterances of {corpus.name!r} are not in it, first "
            f"{_shown(missing)}; its {len(given.texts):,} ids begin with {_shown(list(given.texts))}. Add them, with an empty "
            "text where nothing was recognised"
        )
    used = {each.id for each in corpus}
    others = [name for name in given.texts if name not in used]
    empty = [name for name in given.texts if name in used and not given.texts[name].strip()]
    notes = []
    if others:
        notes.append(f"{len(others):,} ids of {given.path} are not among the utterances that are used, first {_shown(others)}")
    if empty:
        notes.append(f"{len(empty):,} transcripts of {given.path} are empty, first {_shown(empty)}")
    return replace(corpus, utterances=tuple(replace(each, text=given.texts[each.id]) for each in corpus)), tuple(notes)


def _shown(names: list[str]) -> str:
    return ", ".join(names[:SHOWN])
