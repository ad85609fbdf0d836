"""MSP-Podcast (Lotfian and Busso, 2019), every version from 1.6: https://lab-msp.com/MSP/MSP-Podcast.html."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from mer.corpus.corpus_kind import CorpusKind
from mer.corpus.corpus_table import rows_of, text_of
from mer.corpus.utterance import CorpusError, Problem, Utterance

EMOTIONS = {
    "A": "Angry",
    "S": "Sad",
    "H": "Happy",
    "U": "Surprise",
    "F": "Fear",
    "D": "Disgust",
    "C": "Contempt",
    "N": "Neutral",
    "O": "Other",
    "X": "No agreement",
}
"""Letter of the consensus to the word that annotators chose."""
CLASSES = {EMOTIONS[letter]: EMOTIONS[letter].lower() for letter in "ASHUFDCN"}
SPLITS = {"train": "train", "validation": "dev", "development": "dev"}
"""The release's names of parts that are called otherwise here; its test sets keep their names."""
CONSENSUS = ("labels_consensus.csv", "labels_concensus.csv", "labels_consensus.json", "labels_concensus.json")
DETAILED = ("labels_detailed.csv", "labels_detailed.json")
LABELS, AUDIO, TEXTS = ("Labels", "label", "labels", "."), ("Audios", "Audio", "."), ("Transcripts", "transcripts")
"""What the folders are called in one version or another."""
_NEEDED = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")


class MspPodcast(CorpusKind):
    """Turns of podcasts with votes and attributes, in given parts; a session is one of these."""

    title = "MSP-Podcast"
    layout = "the folders Labels (with labels_consensus.csv), Audios and Transcripts"
    classes = "msp-podcast-8"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "msp-podcast-8": CLASSES,
        "msp-podcast-4": {word: CLASSES[word] for word in ("Angry", "Sad", "Happy", "Neutral")},
    }
    languages = ("en",)
    limits = "**Trained on podcasts**: turns of public talk in English that were chosen for their emotion. Few are strong."

    def recognises(self, path: Path) -> bool:
        """A folder with the consensus of the annotators."""
        return path.is_dir() and _first(path, LABELS, CONSENSUS) is not None

    def utterances(self, path: Path) -> Iterable[Utterance | Problem]:
        """Every row of the consensus, with its votes and transcript."""
        table, detailed = _first(path, LABELS, CONSENSUS), _first(path, LABELS, DETAILED)
        if table is None:
            raise CorpusError(f"{path}: no {CONSENSUS[0]} in it or in its folder {LABELS[0]}")
        votes = {} if detailed is None else _votes(detailed)
        audio = next(path / name for name in AUDIO if (path / name).is_dir())
        texts = next((path / name for name in TEXTS if (path / name).is_dir()), None)
        for number, row in enumerate(_rows(table, _NEEDED), start=2):
            yield _spoken(row, audio, texts, votes.get(row["FileName"]), f"{table}: row {number}")
        if detailed is None:
            yield Problem(kind="table that is not there", where=DETAILED[0], message="votes of single annotators are not known")


def _first(path: Path, folders: Iterable[str], names: Iterable[str]) -> Path | None:
    files = (path / folder / name for folder in folders for name in names)
    return next((file for file in files if file.is_file()), None)


def _rows(table: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of the consensus: a CSV file, or a JSON object of the same by file name."""
    if table.suffix == ".csv":
        return rows_of(table, needed)
    rows = [{"FileName": name} | {key: str(value) for key, value in row.items()} for name, row in _objects(table)]
    if lacking := next((row for row in rows if set(needed) - set(row)), None):
        raise CorpusError(f"{table}: {lacking['FileName']} has no {', '.join(sorted(set(needed) - set(lacking)))}")
    return rows


def _objects(file: Path) -> list[tuple[str, dict[str, object]]]:
    try:
        read = json.loads(text_of(file, "cp1252"))
    except json.JSONDecodeError as problem:
        raise CorpusError(f"{file}: is no JSON ({problem}): copy it again") from problem
    if not isinstance(read, dict) or not all(isinstance(each, dict) for each in read.values()):
        raise CorpusError(f"{file}: expected an object for each file name")
    return list(read.items())


def _spoken(row: Mapping[str, str], audio: Path, texts: Path | None, votes: Mapping[str, int] | None, where: str) -> Utterance:
    name = Path(row["FileName"]).stem
    label = EMOTIONS.get(row["EmoClass"])
    if label is None:
        raise CorpusError(f"{where}: EmoClass is {row['EmoClass']!r}, expected one of {', '.join(EMOTIONS)}")
    split = SPLITS.get(row["Split_Set"].lower(), row["Split_Set"].lower().replace(" ", ""))
    known = row["SpkrID"].lower() not in ("", "unknown", "nan")
    podcast = name.rpartition("_")[0]
    return Utterance(
        id=name,
        wav=audio / row["FileName"],
        text=_text(texts, name),
        label=label,
        speaker=row["SpkrID"] if known else f"unknown in {podcast}",
        session=split,
        split=split,
        dialogue=podcast,
        attributes=_attributes(row, where),
        votes=votes,
        columns={"gender": row["Gender"].lower()} if row["Gender"] else None,
    )


def _attributes(row: Mapping[str, str], where: str) -> tuple[float, float, float] | None:
    """Valence, activation and dominance, each from 1 to 7."""
    try:
        valence, activation, dominance = (float(row[name]) for name in ("EmoVal", "EmoAct", "EmoDom"))
    except ValueError:
        if any(row[name] for name in ("EmoVal", "EmoAct", "EmoDom")):
            raise CorpusError(f"{where}: EmoVal, EmoAct and EmoDom must be numbers from 1 to 7, or all empty") from None
        return None
    return valence, activation, dominance


def _text(folder: Path | None, name: str) -> str | None:
    if folder is None or not (file := folder / f"{name}.txt").is_file():
        return None
    return " ".join(text_of(file, "cp1252").split()) or None


def _votes(detailed: Path) -> dict[str, Counter[str]]:
    """How many annotators chose each emotion, by file name.

    Depending on the version a row is `FileName,EmoDetail` with `WORKER1; Angry; Angry,Annoyed; A:5; V:2; D:5;` in it, or has a
    column `EmoClass_Major`, or the file is JSON: file name to annotator to the same. `Other-Curious` and the like are Other.
    """
    votes, words = dict[str, Counter[str]](), {word.lower(): word for word in EMOTIONS.values()}
    for name, chosen in _choices(detailed):
        word = words.get(chosen.lower(), "Other")
        votes.setdefault(name, Counter())[word] += 1
    return votes


def _choices(detailed: Path) -> Iterable[tuple[str, str]]:
    if detailed.suffix == ".json":
        for name, workers in _objects(detailed):
            for chosen in workers.values():
                yield name, str(chosen["EmoClass_Major"]) if isinstance(chosen, dict) else ""
        return
    for row in rows_of(detailed, ("FileName",)):
        if "EmoClass_Major" in row:
            yield row["FileName"], row["EmoClass_Major"]
        elif len(said := row.get("EmoDetail", "").split(";")) > 1:
            yield row["FileName"], said[1].strip()
        else:
            raise CorpusError(f"{detailed}: {row['FileName']} has neither EmoClass_Major nor EmoDetail with an emotion in it")
