"""CREMA-D (Cao et al., 2014): https://github.com/CheyneyComputerScience/CREMA-D."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from mer.corpus.corpus_table import rows_of
from mer.corpus.named_recordings import NamedRecordings
from mer.corpus.utterance import Problem, Utterance

EMOTIONS = {"A": "ANG", "D": "DIS", "F": "FEA", "H": "HAP", "N": "NEU", "S": "SAD"}
"""Letter of the ratings to code of the file names."""
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
ACTORS, VOTES = "VideoDemographics.csv", "processedResults/tabulatedVotes.csv"
_HEARD = "1"
"""What the row numbers of ratings by voice alone begin with; 2 is the face, 3 both."""


class CremaD(NamedRecordings):
    """91 actors, twelve sentences; a session is an actor. Votes are those of people who heard the voice alone."""

    title = "CREMA-D"
    layout = f"the folder AudioWAV with recordings such as 1001_DFA_ANG_XX.wav, beside {ACTORS}"
    places = ("AudioWAV/*", "*")
    pattern = re.compile(rf"[^/]*/(1\d{{3}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS.values())})_({'|'.join(LEVELS)})")
    naming = "ACTOR_SENTENCE_EMOTION_LEVEL, such as 1001_DFA_ANG_XX"
    classes = "crema-d-6"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "crema-d-6": {
            "ANG": "angry",
            "DIS": "disgust",
            "FEA": "fear",
            "HAP": "happy",
            "NEU": "neutral",
            "SAD": "sad",
        }
    }
    released: ClassVar[Mapping[str, int]] = {each: 1087 if each == "NEU" else 1271 for each in EMOTIONS.values()}  # pyright: ignore[reportIncompatibleVariableOverride]
    languages = ("en",)
    limits = "**Trained on acted speech**: American actors who say twelve sentences. The words carry no emotion."

    def spoken(self, file: Path, name: re.Match[str]) -> Utterance:
        """What the name says."""
        actor, sentence, emotion, level = name.groups()
        return Utterance(
            id=file.stem,
            wav=file,
            text=SENTENCES[sentence],
            label=emotion,
            speaker=actor,
            session=actor,
            columns={"level": LEVELS[level], "sentence": sentence},
        )

    def utterances(self, path: Path) -> Iterable[Utterance | Problem]:
        """What the names say, with who the actors are and how many people heard which emotion."""
        actors, votes = _table(path, ACTORS), _table(path, VOTES)
        who = {row["ActorID"]: _who(row) for row in actors or ()}
        heard = {row["fileName"]: _votes(row) for row in votes or () if row[""].startswith(_HEARD)}
        for each in super().utterances(path):
            if isinstance(each, Utterance):
                each = replace(each, columns=who.get(each.speaker, {}) | dict(each.columns or {}), votes=heard.get(each.id))
            yield each
        for table, rows, what in ((ACTORS, actors, "gender, age, race and ethnicity"), (VOTES, votes, "votes")):
            if rows is None:
                yield Problem(kind="table that is not there", where=table, message=f"{what} of the speakers are not known")


def _table(path: Path, name: str) -> list[dict[str, str]] | None:
    """The rows of a table in the corpus' folder, or beside it where the folder of recordings was given."""
    file = next((each for each in (path / name, path.parent / name) if each.is_file()), None)
    return None if file is None else rows_of(file, ("ActorID", "Sex") if name == ACTORS else ("", "fileName", *EMOTIONS))


def _who(row: Mapping[str, str]) -> dict[str, str]:
    said = {"gender": row["Sex"].lower()} | {name.lower(): row.get(name, "") for name in ("Age", "Race", "Ethnicity")}
    return {name: value for name, value in said.items() if value}


def _votes(row: Mapping[str, str]) -> dict[str, int]:
    return {code: int(row[letter]) for letter, code in EMOTIONS.items() if row[letter].isdecimal() and int(row[letter])}
