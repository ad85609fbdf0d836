"""The table of docs/own-corpus.md, "you have ... give this command": each command as it stands, on miniatures of all dialects."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.tests.corpus.conftest import write_dialogue
from mer.tests.corpus.format_folders import (
    Written,
    audformat_of_files,
    audformat_of_segments,
    audiofolder_of_one_table,
    audiofolder_of_parts,
    emobox_fold,
    emobox_folds,
    emobox_list,
    kaldi_of_recordings,
    kaldi_of_segments,
    lhotse_cuts,
    lines,
    sound,
    speechbrain_csv,
    speechbrain_json,
)
from mer.tests.corpus.release_folders import RELEASES

GUIDE = (Path(__file__).parents[2] / "docs" / "own-corpus.md").read_text(encoding="utf-8")
TABLE = GUIDE.split("| you have | give this command |\n")[1].split("\n\n")[0]
COMMANDS = re.findall(r"`(mer [^`]+)`", TABLE)

Told = tuple[int, float]
"""Utterances and seconds of audio that a miniature holds."""
Write = Callable[[Path], Told]

ROWS = [
    {"wav": "a/1.wav", "text": "Oh, it's you; yes | no", "label": "angry", "speaker": "anna"},
    {"wav": "a/2.wav", "text": "Schön, it is fine", "label": "sad", "speaker": "ben"},
]
SECONDS = {"a/1.wav": 1.25, "a/2.wav": 0.75}


def recordings(folder: Path) -> Told:
    for name, seconds in SECONDS.items():
        sound(folder / name, seconds)
    return len(SECONDS), sum(SECONDS.values())


def table(name: str, delimiter: str = ",", encoding: str = "utf-8", audio: str = ".", prefix: str = "") -> Write:
    """A table of two recordings, which lie in the folder `audio` and are called `prefix` and their place there."""

    def write(root: Path) -> Told:
        if name.endswith(".jsonl"):
            text = "".join(json.dumps({**row, "wav": prefix + row["wav"]}, ensure_ascii=False) + "\n" for row in ROWS)
        else:
            cells = [[f'"{value}"' for value in ({**row, "wav": prefix + row["wav"]}).values()] for row in ROWS]
            text = "".join(delimiter.join(line) + "\n" for line in [list(ROWS[0]), *cells])
        (root / name).write_bytes(text.encode(encoding))
        return recordings(root / audio)

    return write


def parts(columns: str, *times: str) -> Write:
    """Three parts of one recording of six seconds."""

    def write(root: Path) -> Told:
        sound(root / "talk.wav", 6.0)
        rows = [f"p{n},talk.wav,{label},anna,{time}" for n, (label, time) in enumerate(zip("abc", times, strict=True))]
        lines(root / "parts.csv", f"id,wav,label,speaker,{columns}", *rows)
        return 3, 0.5 + 1.25 + 2.0

    return write


def format_of(folder: str, seconds: float, write: Callable[[Path], Written]) -> Write:
    """A miniature of another toolkit."""
    return lambda root: (len(write(root / folder)[1]), seconds)


def speechbrain_elsewhere(root: Path) -> Told:
    _, expected = speechbrain_csv(root)
    (root / "disk").mkdir()
    (root / "wav").rename(root / "disk" / "wav")
    return len(expected), 5.5


def as_plain_jsonl(root: Path) -> Told:
    """Cuts that are not packed."""
    import gzip

    path, expected = lhotse_cuts(root)
    (root / "cuts.jsonl").write_bytes(gzip.decompress(path.read_bytes()))
    return len(expected), 8.25


def as_cuts(root: Path) -> Told:
    path, expected = lhotse_cuts(root)
    path.rename(root / "cuts.jsonl.gz")
    return len(expected), 8.25


def iemocap(root: Path) -> Told:
    turns = [("F000", "neu", "Well."), ("M000", "ang", "No!"), ("F001", "exc", "Yes!"), ("M001", "xxx", "Hm.")]
    for session in (1, 2):
        write_dialogue(root / "IEMOCAP_full_release", f"Ses0{session}F_impro01", turns)
    for wav in root.rglob("*.wav"):
        sound(wav, 0.5)
    return 8, 3.0  # eight are counted, six have one of the four classes


def released(folder: str, name: str) -> Write:
    def write(root: Path) -> Told:
        RELEASES[name](root / folder)
        return -1, -1  # counted in test_release_folders.py

    return write


DIALECTS: list[tuple[str, Write]] = [
    *(
        ("mer doctor --corpus corpus.csv", write)
        for write in (
            table("corpus.csv"),
            table("corpus.csv", ";"),
            table("corpus.csv", encoding="utf-8-sig"),
            table("corpus.csv", ";", "utf-16"),
        )
    ),
    ("mer doctor --corpus corpus.tsv", table("corpus.tsv", "\t")),
    ("mer doctor --corpus corpus.tsv", table("corpus.tsv", "\t", "utf-16")),
    ("mer doctor --corpus corpus.txt", table("corpus.txt", "|")),
    ("mer doctor --corpus corpus.jsonl", table("corpus.jsonl")),
    ("mer doctor --corpus corpus.csv --encoding cp1252", table("corpus.csv", encoding="cp1252")),
    *(
        ("mer doctor --corpus corpus.csv --audio-root disk", table("corpus.csv", audio="disk", prefix=prefix))
        for prefix in ("", "/home/anna/disk/", "D:\\data\\disk\\")
    ),
    *(
        ("mer doctor --corpus parts.csv", write)
        for write in (
            parts("start,end", "0,0.5", "0.5,1.75", "4,6"),
            parts("offset,duration", "0,0.5", "0.5,1.25", "4,2"),
            parts("start_ms,end_ms", "0,500", "500,1750", "4000,6000"),
            parts("begin,end", "0,500", "500,1750", "4000,6000"),
            parts("start_sample,end_sample", "0,8000", "8000,28000", "64000,96000"),
        )
    ),
    ("mer doctor --corpus train.csv", format_of(".", 5.5, speechbrain_csv)),
    ("mer doctor --corpus train.csv --audio-root disk", speechbrain_elsewhere),
    ("mer doctor --corpus json/train.json", format_of(".", 2.0, speechbrain_json)),
    ("mer doctor --corpus recordings", format_of("recordings", 2.0, audiofolder_of_parts)),
    ("mer doctor --corpus recordings", format_of("recordings", 2.0, audiofolder_of_one_table)),
    ("mer doctor --corpus cuts.jsonl.gz", as_cuts),
    ("mer doctor --corpus cuts.jsonl", as_plain_jsonl),
    ("mer doctor --corpus data/emodb/emodb.jsonl", format_of(".", 2.0, emobox_list)),
    ("mer doctor --corpus data/emodb/fold_1", format_of(".", 2.0, emobox_fold)),
    ("mer doctor --corpus data/emodb", format_of(".", 2.0, emobox_folds)),
    ("mer doctor --corpus database", format_of("database", 3.0, audformat_of_files)),
    ("mer doctor --corpus database", format_of("database", 0.75 + 1.5 + 2.0, audformat_of_segments)),
    ("mer doctor --corpus data/all", format_of(".", 2.0, kaldi_of_recordings)),
    ("mer doctor --corpus data", format_of("data", 3.5, kaldi_of_segments)),
    ("mer doctor --corpus IEMOCAP_full_release", iemocap),
    ("mer doctor --corpus MELD.Raw", released("MELD.Raw", "meld")),
    *((f"mer doctor --corpus {name}", released(name, name)) for name in RELEASES if name != "meld"),
]


def test_every_command_of_the_table_is_tried_and_nothing_else() -> None:
    assert sorted(set(COMMANDS)) == sorted({command for command, _ in DIALECTS})


def give(command: str, *more: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, [*shlex.split(command)[1:], *more, "--json"], env={"HF_HUB_OFFLINE": "1"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, json.loads(done.stdout)


def named(dialects: list[tuple[str, Write]]) -> list[Any]:
    return [pytest.param(*each, id=f"{number} {each[0].partition('--corpus ')[2]}") for number, each in enumerate(dialects)]


@pytest.mark.parametrize(("command", "write"), named(DIALECTS))
def test_the_doctor_counts_a_dialect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, write: Write) -> None:
    monkeypatch.chdir(tmp_path)
    utterances, _ = write(tmp_path)
    code, told = give(command)
    assert told["census"] is not None, told["checks"]
    known = command.rpartition(" ")[2] in {"IEMOCAP_full_release", "MELD.Raw", *RELEASES} - {"msp-podcast"}
    assert code == (1 if known else 0), told["checks"]  # no miniature is a whole release
    counted = sum(told["census"]["labels"].values())
    assert counted == sum(each["utterances"] for each in told["census"]["sessions"])
    assert counted == utterances or (utterances < 0 and counted > 10)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "write"), named(DIALECTS))
def test_the_same_options_extract_a_dialect_without_losing_a_second(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speech_encoder_folder: Callable[[str], Path],
    command: str,
    write: Write,
) -> None:
    monkeypatch.chdir(tmp_path)
    utterances, seconds = write(tmp_path)
    settings = f'speech-model = "{speech_encoder_folder("wav2vec2")}"\ndevice = "cpu"\n[extract]\nworkers = 1\n'
    (tmp_path / "mer.toml").write_text(settings)
    code, told = give(command.replace("mer doctor", "mer extract"), "--granularity", "F", "--quiet")
    assert (code, told["failed"]) == (0, [])
    if seconds < 0:
        utterances, seconds = told["utterances"], 0.2 * told["utterances"]
    assert told["utterances"] == (6 if "IEMOCAP" in command else utterances)
    assert told["audio_seconds"] == pytest.approx(seconds, abs=1e-3)
