"""ESD, the emotional speech dataset (Zhou et al., 2021): https://github.com/HLTSingapore/Emotional-Speech-Data."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from mer.corpus.corpus_table import text_of
from mer.corpus.named_recordings import NamedRecordings
from mer.corpus.utterance import Problem, Utterance

EMOTIONS = ("Angry", "Happy", "Neutral", "Sad", "Surprise")
PARTS = ("train", "evaluation", "test")
MEN = frozenset({4, 5, 6, 8, 10, 11, 12, 13, 14, 20})
CHINESE = range(1, 11)
FOLDS = ((5, 11, 16, 18), (12, 14, 15, 19), (3, 4, 6, 9), (7, 8, 13, 20), (1, 2, 10, 17))
"""The speakers of EmoBox's five folds (https://github.com/emo-box/EmoBox at 08280f2)."""
_NAMES = "|".join((*EMOTIONS, "生气", "快乐", "中立", "伤心", "惊喜"))
_LINE = re.compile(rf"(\d{{4}}_\d{{6}})\s+(.*?)(?:\s+(?:{_NAMES}))?", re.IGNORECASE)


class Esd(NamedRecordings):
    """Ten Chinese and ten English speakers, 350 sentences in five emotions each; a session is a speaker."""

    title = "ESD"
    layout = "the folders 0001 to 0020, each with its texts (0001.txt) and recordings such as Angry/0001_000351.wav"
    places = ("00[012]?/*/*", "00[012]?/*/*/*", "*/00[012]?/*/*", "*/00[012]?/*/*/*")
    pattern = re.compile(r"[^/]*/(00(?:0[1-9]|1\d|20))_\d{6}")
    naming = "SPEAKER_NUMBER in a folder of their emotion, such as Angry/0011_000351 or Angry/train/0011_000351"
    classes = "esd-5"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {"esd-5": {each: each.lower() for each in EMOTIONS}}
    released: ClassVar[Mapping[str, int]] = dict.fromkeys(EMOTIONS, 7000)  # pyright: ignore[reportIncompatibleVariableOverride]
    languages = ("en", "zh")
    limits = "**Trained on acted speech**: speakers who read sentences in a studio. The words carry no emotion."

    def spoken(self, file: Path, name: re.Match[str]) -> Utterance | None:
        """The name is that of the speaker, the folder that of the emotion."""
        part = file.parent.name if file.parent.name in PARTS else ""
        label = (file.parent.parent if part else file.parent).name
        if label not in EMOTIONS:
            return None
        number = int(name[1])
        fold = next(fold for fold, speakers in enumerate(FOLDS, start=1) if number in speakers)
        return Utterance(
            id=file.stem,
            wav=file,
            text=None,
            label=label,
            speaker=name[1],
            session=name[1],
            columns={
                "gender": "male" if number in MEN else "female",
                "language": "Chinese" if number in CHINESE else "English",
                "emobox_fold": str(fold),
            }
            | ({"part": part} if part else {}),
        )

    def utterances(self, path: Path) -> Iterable[Utterance | Problem]:
        """What names and folders say, with the texts of each speaker."""
        texts = dict[str, dict[str, str]]()
        for each in super().utterances(path):
            if isinstance(each, Utterance):
                known = texts.get(each.speaker)
                if known is None:
                    known = texts[each.speaker] = _texts(each.wav, each.speaker)
                each = replace(each, text=known.get(each.id))
            yield each


def _texts(wav: Path, speaker: str) -> dict[str, str]:
    """The sentences of a speaker by the ids of the recordings.

    The files are UTF-8, UTF-16, GBK or Windows' Latin-1, and in some lines tabs are missing.
    """
    folder = next((each for each in wav.parents if each.name == speaker), wav.parent)
    file = folder / f"{speaker}.txt"
    if not file.is_file():
        return {}
    lines = text_of(file, "gb18030" if int(speaker) in CHINESE else "cp1252").splitlines()
    found = (_LINE.fullmatch(line.strip()) for line in lines)
    return {line[1]: line[2] for line in found if line and line[2]}
