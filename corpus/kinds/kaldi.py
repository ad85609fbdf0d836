"""Kaldi's data folders: https://kaldi-asr.org/doc/data_prep.html."""

from collections.abc import Iterator
from pathlib import Path

from mer.corpus.row_format import Numbered, RowFormat, part_of, text_in
from mer.corpus.utterance import CorpusError

SCP = ("wav.scp", "*/wav.scp")
NAMES = {"dur": "seconds", "spk": "speaker"}
"""What the X of a file utt2X is called among columns, where that is not X."""
NOT_READ = frozenset({"num_frames", "uniq"})


class Kaldi(RowFormat):
    """A folder with `wav.scp`, or one folder for each part of the corpus."""

    title = "Kaldi"
    layout = (
        "a folder with wav.scp, utt2spk and utt2emo (or utt2label, utt2emotion), and with text and segments, if there are any"
    )
    speaker_place = "utt2spk"

    def recognises(self, path: Path) -> bool:
        """A folder with `wav.scp`, or with folders that have it."""
        return path.is_dir() and any(True for place in SCP for _ in path.glob(place))

    def rows(self, path: Path, encoding: str | None) -> Iterator[Numbered]:
        """Every utterance of `segments`, or every recording where there are none; each file utt2X is a column X."""
        for scp in sorted(file for place in SCP for file in path.glob(place)):
            folder = scp.parent
            recordings = {name: _plain_path(scp, name, said) for _, name, said in _lines(scp, encoding)}
            segments = folder / "segments"
            columns = {
                NAMES.get(kind, kind): {name: said for _, name, said in _lines(file, encoding)}
                for file in sorted(folder.glob("utt2*"))
                if (kind := file.name.removeprefix("utt2")) not in NOT_READ
            }
            columns["text"] = (
                {name: said for _, name, said in _lines(folder / "text", encoding)} if (folder / "text").is_file() else {}
            )
            for number, name, said in _lines(segments if segments.is_file() else scp, encoding):
                place = _segment(segments, number, said, recordings) if segments.is_file() else {"wav": recordings[name]}
                values = {column: of[name] for column, of in columns.items() if of.get(name)}
                yield number, {"id": name, **place, **part_of(path, scp), **values}


def _lines(file: Path, encoding: str | None) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text_in(file, encoding).splitlines(), start=1):
        name, *rest = line.split(maxsplit=1)[:2] or [""]
        if name:
            yield number, name, rest[0].strip() if rest else ""


def _plain_path(scp: Path, name: str, said: str) -> str:
    if said.endswith("|") or ".ark:" in said or not said:
        what = "a command" if said.endswith("|") else "no file of its own"
        advice = "mer opens audio files only; write the recordings to files and give their paths"
        raise CorpusError(f"{scp}: recording {name!r} is {what} ({said[:100]!r}), and {advice}")
    return said


def _segment(segments: Path, number: int, said: str, recordings: dict[str, str]) -> dict[str, object]:
    recording, *times = said.split() or [""]
    if recording not in recordings or len(times) < 2:
        expected = "an utterance, a recording of wav.scp, start and end in seconds"
        raise CorpusError(f"{segments}: line {number}: expected {expected}, got {said[:100]!r}")
    return {"wav": recordings[recording], "dialogue": recording, "start_s": times[0], "end_s": times[1]}
