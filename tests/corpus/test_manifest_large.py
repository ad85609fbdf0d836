"""Manifests beyond `LARGE`: rows are read again when they are asked for."""

import csv
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mer.corpus import manifest
from mer.corpus.audio import AudioError, read_header
from mer.corpus.manifest import read_manifest
from mer.corpus.manifest_utterances import ManifestUtterances
from mer.corpus.utterance import Corpus, CorpusError, Utterance
from mer.corpus.utterance_index import UtteranceIndex
from mer.corpus.wanted import Wanted

Row = dict[str, object]
ROW: Row = {"id": "u1", "wav": "a.wav", "text": "Hi.", "label": "joy", "speaker": "s1", "session": "A"}


def row(number: int, **changes: object) -> Row:
    return ROW | {"id": f"u{number}", "wav": f"a{number}.wav", "session": "BA"[number % 2]} | changes


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "LARGE", 2)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: Row) -> Path:
        for number in range(5):
            (tmp_path / f"a{number}.wav").touch()
        path = tmp_path / "large.jsonl"
        path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows), encoding="utf-8")
        return path

    return write


Write = Callable[..., Path]


def read_both_ways(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Corpus, Corpus]:
    monkeypatch.setattr(manifest, "LARGE", 1000)
    small = read_manifest(path)
    monkeypatch.setattr(manifest, "LARGE", 0)
    return small, read_manifest(path)


ROWS = [
    row(3, text='over, "there"', textgrid="grids/é.TextGrid", seconds=2.5),
    row(10, text="two\nlines", style="scripted", seconds=1),
    row(2, text="", id="ü 2", speaker=7),
    row(1, text="plain", dialogue="d", label="grief"),
]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_large_csv_holds_what_a_small_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, mark: str) -> None:
    text = io.StringIO(newline="")
    columns = [*ROW, "textgrid", "style", "dialogue", "seconds"]
    writer = csv.DictWriter(text, columns, restval="", lineterminator=ends, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(ROWS[:2])
    text.write(ends)
    writer.writerows(ROWS[2:])
    path = tmp_path / "m.csv"
    path.write_bytes((mark + text.getvalue()).encode())
    small, large = read_both_ways(path, monkeypatch)
    assert isinstance(large.utterances, ManifestUtterances)
    assert tuple(large) == tuple(small)
    assert [u.id for u in large] == ["u1", "u3", "u10", "ü 2"]
    assert [u.text for u in large] == ["plain", 'over, "there"', "two\nlines", None]


def test_a_large_jsonl_holds_what_a_small_one_does(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(*ROWS)
    path.write_bytes(b"\xef\xbb\xbf\n" + path.read_bytes().replace(b"\n", b"\r\n\n").removesuffix(b"\r\n\n"))
    small, large = read_both_ways(path, monkeypatch)
    assert tuple(large) == tuple(small)
    assert [u.id for u in large] == ["u1", "u3", "u10", "ü 2"]


@pytest.mark.usefixtures("large")
def test_it_behaves_as_a_tuple_does(write: Write) -> None:
    utterances = read_manifest(write(*ROWS)).utterances
    held: tuple[Utterance, ...] = tuple(utterances)
    assert len(utterances) == 4
    assert utterances[-1] == held[-1]
    assert utterances[1:3] == held[1:3]
    assert utterances[::-2] == held[::-2]
    assert utterances.index(held[2]) == 2
    with pytest.raises(IndexError):
        utterances[4]


@pytest.mark.usefixtures("large")
def test_sessions_and_labels_select_from_a_large_one(write: Write) -> None:
    path = write(*(row(number, label=("joy", "grief")[number % 3 == 0]) for number in range(12)))
    corpus = read_manifest(path, Wanted(sessions=["A"], labels=frozenset({"joy"})))
    assert isinstance(corpus.utterances, ManifestUtterances)
    assert [(u.id, u.session, u.label) for u in corpus] == [(f"u{n}", "A", "joy") for n in (1, 11, 5, 7)]


@pytest.mark.parametrize("rows", [0, 1000])
def test_the_index_says_what_the_utterances_say(write: Write, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(manifest, "LARGE", rows)
    corpus = read_manifest(write(*ROWS))
    index = UtteranceIndex.of(corpus)
    assert (getattr(corpus.utterances, "columns", None) is index) is (rows == 0)
    assert [each.decode() for each in index.ids] == [u.id for u in corpus]
    assert [index.sessions[number] for number in index.session] == [u.session for u in corpus]
    np.testing.assert_array_equal(index.seconds, [np.nan, 2.5, 1.0, np.nan])
    assert [(name, places.tolist()) for name, places in index.rows_by_session()] == [("A", [0, 1]), ("B", [2, 3])]
    wanted = ["u3", "ü 2", "u", "u10", "u1", "zz", "ü 22", ""]
    assert index.rows_of(wanted).tolist() == [1, 3, -1, 2, 0, -1, -1, -1]


@pytest.mark.usefixtures("large")
def test_ids_that_occur_far_apart_are_found(write: Write) -> None:
    rows = [row(number) for number in range(30)]
    with pytest.raises(CorpusError) as caught:
        read_manifest(write(*rows, row(7), row(31, speaker=None, session=None), row(3), row(7)))
    assert str(caught.value).splitlines()[1:] == [
        "  line 31: id 'u7' is used already in line 8",
        "  line 32: no speaker, session",
        "  line 33: id 'u3' is used already in line 4",
        "  line 34: id 'u7' is used already in line 8",
    ]


@pytest.mark.usefixtures("large")
def test_audio_that_is_not_there_is_no_problem_yet_and_texts_are_counted(write: Write) -> None:
    corpus = read_manifest(write(row(0), row(1, wav="gone.wav"), row(2, text=None), row(3, text=None), row(4, text=None)))
    (problem,) = corpus.problems
    assert problem.kind == "label without transcript"
    assert problem.where.endswith("large.jsonl:3")
    assert "nor for 2 more" in problem.message
    with pytest.raises(AudioError, match=r"gone\.wav: no audio file there"):
        read_header(corpus.utterances[0].wav)


@pytest.mark.usefixtures("large")
def test_a_link_that_leads_out_fails_when_its_turn_comes(write: Write, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "audio").mkdir(parents=True)
    (tmp_path / "a.wav").touch()
    (inside / "link").symlink_to(tmp_path)
    (inside / "audio" / "away.wav").symlink_to(tmp_path / "a0.wav")
    (inside / "audio" / "near.wav").symlink_to(inside / "d.wav")
    wavs = ["a.wav", "b.wav", "link/a.wav", "audio/away.wav", "audio/near.wav", "c.wav"]
    rows = [row(number, wav=wav, session="A") for number, wav in enumerate(wavs)]
    rows[5] |= {"textgrid": "link/a.TextGrid"}
    for name in "abcd":
        (inside / f"{name}.wav").touch()
    corpus = read_manifest(write(*rows).rename(inside / "m.jsonl"))
    found = list(corpus)
    assert [u.wav for u in found if u.wav.exists()] == [
        inside / "a.wav",
        inside / "b.wav",
        inside / "audio/near.wav",
        inside / "c.wav",
    ]
    assert found[4].wav == inside / "audio/near.wav"
    for number, column in ((2, "link"), (3, "audio")):
        with pytest.raises(AudioError, match=f"wav '{column}.*leaves the manifest's folder through a symbolic link"):
            read_header(found[number].wav)
    assert found[5].alignment is not None
    assert "textgrid 'link" in str(found[5].alignment.paths[0])


@pytest.mark.usefixtures("large")
def test_the_first_rows_are_checked_at_once(write: Write, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to("/etc/hostname")
    with pytest.raises(CorpusError, match=r"1 row cannot be used:\n  line 2: wav 'link.wav' leaves"):
        read_manifest(write(row(0), row(1, wav="link.wav"), row(2), row(3)))


@pytest.mark.usefixtures("large")
def test_a_file_that_changes_under_the_reader_is_noticed(write: Write) -> None:
    path = write(*ROWS)
    corpus = read_manifest(path)
    assert corpus.utterances[0].id == "u1"
    with path.open("a") as file:
        file.write(json.dumps(row(99)) + "\n")
    with pytest.raises(CorpusError, match=r"large\.jsonl: was changed while it was in use"):
        list(corpus)


@pytest.mark.usefixtures("large")
def test_a_file_that_is_replaced_is_read_to_its_end_as_it_was(write: Write, tmp_path: Path) -> None:
    path = write(*ROWS)
    corpus = read_manifest(path)
    (tmp_path / "other").write_text("nothing\n")
    os.replace(tmp_path / "other", path)  # noqa: PTH105
    assert len(list(corpus)) == 4


@pytest.mark.usefixtures("large")
def test_rows_are_not_kept(write: Write) -> None:
    rows = 1500
    path = write(*(row(number, text="word " * 100) for number in range(rows)))
    read_manifest(path)
    tracemalloc.start()
    corpus = read_manifest(path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(corpus) == rows
    assert kept < 100 * rows + 200_000 < 500 * rows
    assert peak < 300 * rows + 300_000


@pytest.mark.parametrize("value", [0, -1, "x", True, float("inf"), 1e9, [3], 10**400])
def test_seconds_that_cannot_be_are_refused(write: Write, value: object) -> None:
    with pytest.raises(CorpusError, match="line 1: seconds must be a number above 0, got "):
        read_manifest(write(row(1, seconds=value)))


@pytest.mark.parametrize(("value", "seconds"), [(2, 2.0), (2.5, 2.5), ("2.5", 2.5), (None, None)])
def test_seconds_may_be_stated(write: Write, value: object, seconds: float | None) -> None:
    corpus = read_manifest(write(row(1, seconds=value)))
    assert corpus.utterances[0].seconds == seconds
    assert corpus.problems == ()


def test_only_in_rows_of_emobox_length_is_in_seconds(write: Write) -> None:
    emobox = {"key": "k", "wav": "a0.wav", "emo": "joy", "spk": "s", "session": 1, "length": 3.4, "text": "Hi."}
    corpus = read_manifest(write(emobox, row(1, length=54_400)))
    assert [(u.id, u.seconds) for u in corpus] == [("k", 3.4), ("u1", None)]
    assert corpus.problems == ()
