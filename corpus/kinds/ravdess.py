"""RAVDESS (Livingstone and Russo, 2018), its speech: https://zenodo.org/records/1188976."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mer.corpus.named_recordings import NamedRecordings
from mer.corpus.utterance import Utterance

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of their codes, 01 to 08."""
INTENSITIES = ("normal", "strong")
STATEMENTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")
FOLDS = ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22))
"""The actors of EmoBox's six folds (https://github.com/emo-box/EmoBox at 08280f2); no actor is in two of them."""


class Ravdess(NamedRecordings):
    """24 actors, two sentences; a session is one of EmoBox's folds of four actors."""

    title = "RAVDESS"
    layout = "the folders Actor_01 to Actor_24, with recordings such as 03-01-05-01-02-01-12.wav"
    places = ("Actor_*/*", "*/Actor_*/*", "*")
    pattern = re.compile(r"[^/]*/03-01-0([1-8])-0([12])-0([12])-0([12])-(0[1-9]|1\d|2[0-4])")
    naming = "03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR (03 is audio alone, 01 is speech; songs are 02)"
    classes = "ravdess-8"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "ravdess-8": {each: {"fearful": "fear", "surprised": "surprise"}.get(each, each) for each in EMOTIONS}
    }
    released: ClassVar[Mapping[str, int]] = {each: 96 if each == "neutral" else 192 for each in EMOTIONS}  # pyright: ignore[reportIncompatibleVariableOverride]
    languages = ("en",)
    limits = "**Trained on acted speech**: 24 North American actors who say two sentences. The words carry no emotion."

    def spoken(self, file: Path, name: re.Match[str]) -> Utterance:
        """All of it is in the name."""
        emotion, intensity, statement, repetition, actor = (int(each) for each in name.groups())
        fold = next(number for number, actors in enumerate(FOLDS, start=1) if actor in actors)
        return Utterance(
            id=file.stem,
            wav=file,
            text=STATEMENTS[statement - 1],
            label=EMOTIONS[emotion - 1],
            speaker=f"{actor:02}",
            session=str(fold),
            columns={
                "gender": "male" if actor % 2 else "female",
                "intensity": INTENSITIES[intensity - 1],
                "repetition": str(repetition),
            },
        )
