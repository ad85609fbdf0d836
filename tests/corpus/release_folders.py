"""Miniatures of released corpora: their folders, names, tables and quirks, with noise for recordings."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile


def noise(path: Path, frames: int = 3_200) -> None:
    """A recording; those of one path are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(sum(path.name.encode()))
    soundfile.write(path, random.integers(-6000, 6000, frames).astype(np.int16), 16_000)


def table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def ravdess(root: Path) -> None:
    for actor in (1, 4, 8, 20):
        for emotion in range(1, 9):
            noise(root / f"Actor_{actor:02}" / f"03-01-{emotion:02}-01-0{1 + actor % 2}-01-{actor:02}.wav")
    # The copy on Kaggle has everything once more in a folder of its own; archives of a Mac have files about files.
    for file in sorted(root.glob("Actor_*/*.wav")):
        noise(root / "audio_speech_actors_01-24" / file.relative_to(root))
    (root / "Actor_01" / "._03-01-03-01-02-01-01.wav").write_bytes(b"Mac")
    noise(root / "Actor_01" / "03-02-03-01-01-01-01.wav")  # a song
    noise(root / "audio_speech_actors_01-24" / "Actor_04" / "03-01-03-01-01-01-04.wav", 1_600)  # a copy that was cut


def crema_d(root: Path) -> None:
    for actor in (1001, 1002, 1003):
        for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"):
            noise(root / "AudioWAV" / f"{actor}_DFA_{emotion}_XX.wav")
            noise(root / "AudioMP3" / f"{actor}_DFA_{emotion}_XX.mp3")
    noise(root / "AudioWAV" / "1001_IEO_SAD_HI.wav")
    (root / "AudioWAV" / "1002_IEO_FEA_LO.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    columns = ("ActorID", "Age", "Sex", "Race", "Ethnicity")
    table(
        root / "VideoDemographics.csv", columns, [(1001, 51, "Male", "Caucasian", "Not Hispanic"), (1002, 21, "Female", "", "")]
    )
    counted = ("", "A", "D", "F", "H", "N", "S", "fileName", "numResponses")
    heard, seen = (100062, 6, 2, 0, 0, 1, 0, "1001_DFA_ANG_XX", 9), (200062, 0, 9, 0, 0, 0, 0, "1001_DFA_ANG_XX", 9)
    table(root / "processedResults" / "tabulatedVotes.csv", counted, [heard, seen])


def emodb(root: Path) -> None:
    for speaker in ("03", "08", "16"):
        for emotion in "WLEAFTN":
            noise(root / "wav" / f"{speaker}b01{emotion}a.wav")
    noise(root / "wav" / "03a02Wc.WAV")


ENGLISH = {"0011": ("utf-16", "It\u2019s late."), "0012": ("cp1252", "It\u2019s late."), "0013": ("utf-8-sig", "It\u2019s late.")}


def esd(root: Path) -> None:
    for speaker, (encoding, text) in {"0001": ("gb18030", "打远一看。"), **ENGLISH}.items():
        lines = []
        for start, emotion in ((1, "Neutral"), (351, "Angry"), (701, "Happy"), (1051, "Sad"), (1401, "Surprise")):
            name = f"{speaker}_{start:06}"
            noise(root / speaker / emotion / ("test" if speaker == "0011" else ".") / f"{name}.wav")
            # A line of the release has a blank for a tab, others blanks at their end.
            lines.append(f"{name}\t{text}{' ' if emotion == 'Angry' else chr(9)}{emotion} \r\n")
        (root / speaker / f"{speaker}.txt").write_bytes("".join(lines).encode(encoding))
    noise(root / "0011" / "0011_000009.wav")  # in no emotion's folder


def savee(root: Path) -> None:
    for speaker in ("DC", "JE", "KL"):
        for name in ("a01", "d15", "f01", "h01", "n30", "sa01", "su01"):
            noise(root / "AudioData" / speaker / f"{name}.wav")


def tess(root: Path) -> None:
    folders = {"angry": "angry", "disgust": "disgust", "fear": "Fear", "happy": "happy", "neutral": "neutral", "sad": "Sad"}
    for speaker, surprised in (("OAF", "Pleasant_surprise"), ("YAF", "pleasant_surprised")):
        for inner in (root / "TESS Toronto emotional speech set data", root):
            for emotion, folder in {**folders, "ps": surprised}.items():
                for word in ("back", "bar"):
                    noise(inner / f"{speaker}_{folder}" / f"{speaker}_{word}_{emotion}.wav")
    noise(root / "OAF_neutral" / "OA_bite_neutral.wav")


MELD_COLUMNS = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime".split(",")


MELD_SAID = (
    ("Yes, yes!", "joy", "positive"),
    ("Hm.", "neutral", "neutral"),
    ("It is over.", "sadness", "negative"),
    ("Get out!", "anger", "negative"),
    ("Who is there?", "fear", "negative"),
    ("It smells.", "disgust", "negative"),
)


def meld(root: Path) -> None:
    folders = {"train": "train/train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    for part, folder in folders.items():
        said = (("You\u2019re here?", "surprise", "positive"), ("Oh no.", "surprise", "negative"), *MELD_SAID)
        rows: list[tuple[object, ...]] = []
        for number, (text, emotion, sentiment) in enumerate(said):
            dialogue, utterance = divmod(number, 5)
            stem = f"dia{dialogue}_utt{utterance}"
            speaker = f"{'Ross' if dialogue else 'Monica'} {part}"
            rows.append((number, text, speaker, emotion, sentiment, dialogue, utterance, 8, 21, "00:16:16,059", "00:16:21,731"))
            noise(root / folder / f"{'final_videos_test' if (part, stem) == ('test', 'dia1_utt1') else ''}{stem}.wav")
        if part == "train":
            rows.append((5, "Uh-huh.", "Joey", "neutral", "neutral", 125, 3, 8, 21, "00:19:16,059", "00:19:21,731"))
        place = root / ("train" if part == "train" else ".") / f"{part}_sent_emo.csv"
        table(place, MELD_COLUMNS, rows)
        text = place.read_text()
        place.write_bytes(text.encode("cp1252") if part == "test" else text.replace("\u2019", "\x92").encode())
    noise(root / folders["train"] / "._dia0_utt0.wav")
    noise(root / folders["dev"] / "dia66_utt9.wav")  # no row has it
    (root / folders["train"] / "dia0_utt0.mp4").write_bytes(b"the clip that the sound was taken out of")


MSP_COLUMNS = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set".split(",")


def msp_podcast(root: Path) -> None:
    rows, chosen = [], []
    for place, (part, speaker) in enumerate({"Train": "7", "Development": "9", "Test1": "11", "Test2": "Unknown"}.items()):
        for turn, emotion in enumerate("ANHSUFDCX"):
            name = f"MSP-PODCAST_{place:04}_{turn:04}"
            noise(root / "Audios" / f"{name}.wav")
            (root / "Transcripts").mkdir(exist_ok=True)
            (root / "Transcripts" / f"{name}.txt").write_text("so what do you think\n")
            rows.append((f"{name}.wav", emotion, 5.2, 2.4, 5, speaker, "Female", part))
            for worker, word in enumerate(("Angry", "Angry", "Other-Curious")):
                chosen.append((f"{name}.wav", f"WORKER{worker:08}; {word}; Angry,Annoyed; A:5.000000; V:2.000000; D:5.000000; "))
    table(root / "Labels" / "labels_consensus.csv", MSP_COLUMNS, rows)
    table(root / "Labels" / "labels_detailed.csv", ("FileName", "EmoDetail"), chosen)


RELEASES: dict[str, Callable[[Path], None]] = {
    "ravdess": ravdess,
    "crema-d": crema_d,
    "emodb": emodb,
    "esd": esd,
    "savee": savee,
    "tess": tess,
    "meld": meld,
    "msp-podcast": msp_podcast,
}


def msp_podcast_as_json(root: Path) -> None:
    """The same labels as other versions have them."""
    labels = root / "Labels"
    lines = (labels / "labels_consensus.csv").read_text().splitlines()
    rows = {row.pop("FileName"): row for row in csv.DictReader(lines)}
    (labels / "labels_concensus.json").write_text(json.dumps(rows))
    votes = {name: {str(n): {"EmoClass_Major": word} for n, word in enumerate(("Angry", "Angry", "Other"))} for name in rows}
    (labels / "labels_detailed.json").write_text(json.dumps(votes))
    for file in labels.glob("*.csv"):
        file.unlink()
