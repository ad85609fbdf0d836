"""SAVEE (Haq and Jackson, 2009): http://kahlan.eps.surrey.ac.uk/savee."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mer.corpus.named_recordings import NamedRecordings
from mer.corpus.utterance import Utterance

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
_SPEAKERS = "DC|JE|JK|KL"


class Savee(NamedRecordings):
    """Four speakers whose recordings have the same names; a session is a speaker. The release has no texts."""

    title = "SAVEE"
    layout = "the folders DC, JE, JK and KL with recordings such as a01.wav, or recordings such as DC_a01.wav"
    places = ("AudioData/[DJK][CEKL]/*", "[DJK][CEKL]/*", "ALL/*", "*")
    pattern = re.compile(rf"(?:[^/]*/({_SPEAKERS})_?|({_SPEAKERS})/)({'|'.join(EMOTIONS)})(\d\d)")
    naming = "DC/EMOTION NUMBER or DC_EMOTION NUMBER, such as DC_sa01"
    classes = "savee-7"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "savee-7": {
            "anger": "angry",
            "disgust": "disgust",
            "fear": "fear",
            "happiness": "happy",
            "neutral": "neutral",
            "sadness": "sad",
            "surprise": "surprise",
        }
    }
    released: ClassVar[Mapping[str, int]] = {each: 120 if each == "neutral" else 60 for each in EMOTIONS.values()}  # pyright: ignore[reportIncompatibleVariableOverride]
    languages = ("en",)
    limits = "**Trained on acted speech**: four Englishmen in a laboratory. Other voices differ."

    def spoken(self, file: Path, name: re.Match[str]) -> Utterance:
        """The speaker is in the name or is the folder."""
        flat, folder, emotion, number = name.groups()
        speaker = flat or folder
        return Utterance(
            id=f"{speaker}_{emotion}{number}",
            wav=file,
            text=None,
            label=EMOTIONS[emotion],
            speaker=speaker,
            session=speaker,
            columns={"gender": "male"},
        )
