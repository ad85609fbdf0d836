"""MELD (Poria et al., 2019), from MELD.Raw: https://github.com/declare-lab/MELD."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from mer.corpus.corpus_kind import CorpusKind
from mer.corpus.corpus_table import rows_of
from mer.corpus.named_recordings import AUDIO, recordings_in, summed_up
from mer.corpus.utterance import CorpusError, Problem, Utterance

SPLITS = ("train", "dev", "test")
TABLES = ("{}_sent_emo.csv", "*/{}_sent_emo.csv", "*/*/{}_sent_emo.csv")
ENDINGS = (*AUDIO, ".mp4")
"""Sound that was taken out of the clips is preferred to the clips themselves."""
CLASSES = {
    "neutral": ("neutral", "neutral"),
    "joy": ("happy", "positive"),
    "sadness": ("sad", "negative"),
    "anger": ("angry", "negative"),
    "surprise-positive": ("surprise", "positive"),
    "surprise-negative": ("surprise", "negative"),
    "fear": ("fear", "negative"),
    "disgust": ("disgust", "negative"),
}
"""Label to emotion and sentiment. Surprise is the one emotion that has either sentiment, and so is two labels."""
UNUSABLE = {"train_dia125_utt3": "the release's clip is damaged", "dev_dia110_utt7": "the release has no clip of it"}
"""Rows that nobody has a recording of; others (EmoBox) leave them out, too."""
MISCUT = {
    "train_dia309_utt0": "the clip and the text are of more than is said",
    "test_dia38_utt4": "the clip is about five minutes long",
    "test_dia220_utt0": "the clip is about four minutes long, and of another scene",
}
"""Rows whose clip is of something else; they are read, as by everyone else. https://github.com/declare-lab/MELD/issues/20."""
_CLIP = re.compile(r"(final_videos_test)?(dia\d+_utt\d+)")
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")


class Meld(CorpusKind):
    """Dialogues of a television series in three given parts; a session is one of these."""

    title = "MELD"
    layout = "the tables train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, and clips such as train_splits/dia0_utt0.mp4"
    classes = "meld-7"
    class_maps: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "meld-7": {label: emotion for label, (emotion, _) in CLASSES.items()},
        "meld-3": {label: sentiment for label, (_, sentiment) in CLASSES.items()},
    }
    released: ClassVar[Mapping[str, int]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "neutral": 6434,
        "joy": 2308,
        "sadness": 1002,
        "anger": 1607,
        "surprise-positive": 780,
        "surprise-negative": 856,
        "fear": 358,
        "disgust": 361,
    }
    languages = ("en",)
    limits = (
        "**Trained on a television series**: six actors, the same in the test part, speak most of it over laughter and music."
    )

    def recognises(self, path: Path) -> bool:
        """A folder with one of the three tables."""
        return path.is_dir() and any(_table(path, split) is not None for split in SPLITS)

    def utterances(self, path: Path) -> Iterable[Utterance | Problem]:
        """Every row of the tables that are there, with its recording."""
        clips, odd = _clips(path)
        yield from odd
        used = set[Path]()
        for split in SPLITS:
            table = _table(path, split)
            if table is None:
                yield Problem(kind="table that is not there", where=f"{split}_sent_emo.csv", message=f"no {split} part is read")
                continue
            for number, row in enumerate(rows_of(table, _COLUMNS), start=2):
                name = f"{split}_dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
                clip = clips.get(name, path / f"{name}.wav")
                used.add(clip)
                if name in UNUSABLE:
                    yield Problem(kind="row that is left out", where=name, message=UNUSABLE[name])
                    continue
                if name in MISCUT:
                    yield Problem(kind="clip of something else", where=name, message=MISCUT[name])
                yield _spoken(name, split, row, clip, f"{table}: row {number}")
        if extra := [clip for clip in clips.values() if clip not in used]:
            yield summed_up("recording without a row", path, extra, "not read, as no table names them")


def _table(path: Path, split: str) -> Path | None:
    return next((file for pattern in TABLES for file in sorted(path.glob(pattern.format(split))) if file.is_file()), None)


def _spoken(name: str, split: str, row: Mapping[str, str], clip: Path, where: str) -> Utterance:
    emotion, sentiment = row["Emotion"].lower(), row["Sentiment"].lower()
    label = f"surprise-{sentiment}" if emotion == "surprise" else emotion
    if label not in CLASSES:
        expected = ", ".join(dict.fromkeys(emotion.partition("-")[0] for emotion in CLASSES))
        raise CorpusError(f"{where}: emotion {emotion!r} with sentiment {sentiment!r}; expected one of {expected}")
    return Utterance(
        id=name,
        wav=clip,
        text=row["Utterance"] or None,
        label=label,
        speaker=row["Speaker"],
        session=split,
        split=split,
        dialogue=name.rpartition("_")[0],
        columns={"sentiment": sentiment} | {key.lower(): row[key] for key in ("Season", "Episode") if row.get(key)},
    )


def _clips(path: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Recordings by `train_dia0_utt0`: the part is the first folder or name on the way that says it.

    The release has train_splits, dev_splits_complete and output_repeated_splits_test; people who took out the sound have
    train_wav, audio/dev and the like. Copies called final_videos_testdia0_utt0 count where nothing else is there.
    """
    found, renamed, partless = dict[str, Path](), dict[str, Path](), list[Path]()
    for file in recordings_in(path, ENDINGS):
        names = file.relative_to(path).parts
        clip = _CLIP.search(file.stem)
        if clip is None:
            continue
        split = next(_split_in(names), None)
        if split is None:
            partless.append(file)
        else:
            (renamed if clip[1] else found).setdefault(f"{split}_{clip[2]}", file)
    instead = [file for name, file in renamed.items() if name not in found]
    told = (
        ("recording of no part", partless, "not read: no folder on the way says whether they are of train, dev or test"),
        ("recording of another name", instead, "read, as there is none of the right name"),
    )
    return renamed | found, [summed_up(kind, path, files, message) for kind, files, message in told if files]


def _split_in(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from (split for split in SPLITS if split in name.lower())
