"""EmoDB, the Berlin database of emotional speech (Burkhardt et al., 2005): http://emodb.bilderbar.info."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mer.corpus.named_recordings import NamedRecordings
from mer.corpus.utterance import Utterance

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""By the first letter of the German word."""
SPEAKERS = {
    "03": ("male", "31"),
    "08": ("female", "34"),
    "09": ("female", "21"),
    "10": ("male", "32"),
    "11": ("male", "26"),
    "12": ("male", "30"),
    "13": ("female", "32"),
    "14": ("female", "35"),
    "15": ("male", "25"),
    "16": ("female", "31"),
}
"""Gender and age."""
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute Abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


class EmoDb(NamedRecordings):
    """Ten speakers, ten sentences; a session is a speaker."""

    title = "EmoDB"
    layout = "a folder wav with recordings such as 03a01Fa.wav"
    places = ("wav/*", "*")
    pattern = re.compile(rf"[^/]*/({'|'.join(SPEAKERS)})({'|'.join(SENTENCES)})([{''.join(EMOTIONS)}])[a-z]")
    naming = "SPEAKER SENTENCE EMOTION VERSION, such as 03a01Fa"
    classes = "emodb-7"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "emodb-7": {
            "anger": "angry",
            "boredom": "boredom",
            "disgust": "disgust",
            "fear": "fear",
            "happiness": "happy",
            "neutral": "neutral",
            "sadness": "sad",
        }
    }
    released: ClassVar[Mapping[str, int]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    }
    languages = ("de",)
    limits = "**Trained on acted speech**: ten German actors who say ten sentences. The words carry no emotion."

    def spoken(self, file: Path, name: re.Match[str]) -> Utterance:
        """All of it is in the name."""
        speaker, sentence, emotion = name.groups()
        gender, age = SPEAKERS[speaker]
        return Utterance(
            id=file.stem,
            wav=file,
            text=SENTENCES[sentence],
            label=EMOTIONS[emotion],
            speaker=speaker,
            session=speaker,
            columns={"gender": gender, "age": age, "sentence": sentence},
        )
