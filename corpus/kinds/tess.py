"""TESS, the Toronto emotional speech set (Pichora-Fuller and Dupuis, 2020): https://doi.org/10.5683/SP2/E8H2MF."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mer.corpus.named_recordings import NamedRecordings
from mer.corpus.utterance import Utterance

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")
AGES = {"OAF": "64", "YAF": "26"}


class Tess(NamedRecordings):
    """Two women say 200 words in a carrier phrase; a session is a speaker."""

    title = "TESS"
    layout = "the folders OAF_angry to YAF_sad, or one folder, with recordings such as OAF_back_angry.wav"
    places = ("[OY]AF_*/*", "*/[OY]AF_*/*", "*")
    # OA: copies of the release have an OA_bite_neutral.wav.
    pattern = re.compile(rf"[^/]*/(OAF?|YAF)_([a-z]+)_({'|'.join(EMOTIONS)})", re.IGNORECASE)
    naming = "SPEAKER_WORD_EMOTION, such as OAF_back_ps"
    classes = "tess-7"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "tess-7": {each: "surprise" if each == "ps" else each for each in EMOTIONS}
    }
    released: ClassVar[Mapping[str, int]] = dict.fromkeys(EMOTIONS, 400)  # pyright: ignore[reportIncompatibleVariableOverride]
    languages = ("en",)
    limits = "**Trained on acted speech**: two Canadian women who say one phrase. The words carry no emotion."

    def spoken(self, file: Path, name: re.Match[str]) -> Utterance:
        """All of it is in the name; folders spell the emotion in several ways and are not looked at."""
        speaker, word, emotion = name.groups()
        speaker = "YAF" if speaker.upper() == "YAF" else "OAF"
        return Utterance(
            id=f"{speaker}_{word}_{emotion}".lower().replace(speaker.lower(), speaker, 1),
            wav=file,
            text=f"Say the word {word.lower()}.",
            label=emotion.lower(),
            speaker=speaker,
            session=speaker,
            columns={"gender": "female", "age": AGES[speaker], "word": word.lower()},
        )
