import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mer.corpus import Utterance, open_corpus
from mer.corpus.aligner import AlignError, align_corpus
from mer.corpus.aligner.align_work import PIECE_UTTERANCES
from mer.corpus.aligner.alignment_log import LOG_NAME
from mer.corpus.textgrid_folder import with_textgrids

MakeManifest = Callable[[Path, list[tuple[str, Path, str | None]]], Path]


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.TextGrid")}


def test_every_utterance_gets_a_textgrid_or_a_reason(tmp_path: Path, plain: list[Utterance], make_manifest: MakeManifest) -> None:
    rows = [("good", plain[0].wav, plain[0].text), ("mute", plain[0].wav, None), ("odd/id", plain[0].wav, plain[0].text)]
    rows += [("wrong", plain[0].wav, "an entirely different sentence that is far too long for what can be heard here")]
    manifest = make_manifest(tmp_path / "own", [row for row in rows if "/" not in row[0]])
    (tmp_path / "own" / "cut.wav").write_bytes(plain[0].wav.read_bytes()[:2000])
    extra = {"id": "cut/1", "wav": "cut.wav", "text": "hello", "label": "joy", "speaker": "s", "session": "1"}
    (tmp_path / "own" / "again.wav").write_bytes(plain[0].wav.read_bytes())
    good = {**extra, "id": "odd/id", "wav": "again.wav", "text": plain[0].text}
    manifest.write_text(manifest.read_text() + json.dumps(extra) + "\n" + json.dumps(good) + "\n")
    corpus = open_corpus(manifest)
    summary = align_corpus(corpus, tmp_path / "out", workers=1)
    assert {outcome.id: outcome.reason for outcome in summary.failed}.keys() == {"mute", "wrong", "cut/1"}
    reasons = {outcome.id: outcome.reason for outcome in summary.failed}
    assert "no transcript" in reasons["mute"]
    assert "text and audio belong together" in reasons["wrong"]
    assert "ends early: its header promises" in reasons["cut/1"]
    assert texts(tmp_path / "out").keys() == {"good.TextGrid", "odd%2Fid.TextGrid"}
    aligned = with_textgrids(corpus, tmp_path / "out", kind="pocketsphinx")
    assert {u.id: u.alignment is not None for u in aligned} == {
        "good": True,
        "odd/id": True,
        "mute": False,
        "wrong": False,
        "cut/1": False,
    }
    assert [u.alignment.kind for u in aligned if u.alignment] == ["pocketsphinx"] * 2


def test_what_is_there_is_kept_and_what_changed_is_aligned_again(
    tmp_path: Path, plain: list[Utterance], make_manifest: MakeManifest
) -> None:
    rows: list[tuple[str, Path, str | None]] = [(f"u{n}", u.wav, u.text) for n, u in enumerate(plain[:4])]
    manifest = make_manifest(tmp_path / "own", rows)
    out = tmp_path / "out"
    assert align_corpus(open_corpus(manifest), out, workers=1).made == 4
    before = texts(out)
    assert align_corpus(open_corpus(manifest), out, workers=1).made == 0
    (out / "u0.TextGrid").unlink()  # lost
    soundfile.write(tmp_path / "own" / "u1.wav", np.zeros(16_000, np.float32), 16_000)  # other audio
    manifest = make_manifest(tmp_path / "own2", [*rows[:2], ("u2", plain[2].wav, "so wrong a text cannot be found here at all")])
    again = align_corpus(open_corpus(tmp_path / "own" / "own.jsonl"), out, workers=1)
    assert (again.made, [f.id for f in again.failed]) == (1, ["u1"])
    assert texts(out) == {name: text for name, text in before.items() if name != "u1.TextGrid"}
    other = align_corpus(open_corpus(manifest), out, workers=1)  # other text, and u1 as it was
    assert (other.made, [f.id for f in other.failed]) == (1, ["u2"])
    assert texts(out) == {name: text for name, text in before.items() if name != "u2.TextGrid"}
    # A failure is remembered too: nothing is tried twice.
    assert align_corpus(open_corpus(manifest), out, workers=1).seconds == 0


def test_unknown_words_and_lost_tags_are_counted(tmp_path: Path, plain: list[Utterance], make_manifest: MakeManifest) -> None:
    night = [u for u in plain if "night" in (u.text or "")][:2]
    rows: list[tuple[str, Path, str | None]] = [
        (f"u{n}", u.wav, (u.text or "").replace("night", "nighte") + " [BELL]") for n, u in enumerate(night)
    ]
    corpus = open_corpus(make_manifest(tmp_path / "own", rows))
    for _ in range(2):
        summary = align_corpus(corpus, tmp_path / "out", workers=1)
        assert summary.unknown_words == {"nighte": 2}
        assert summary.fillers_lost <= 2


def test_several_processes_write_the_same_files(tmp_path: Path, spoken: Any) -> None:
    corpus = dataclasses.replace(spoken.corpus, utterances=spoken.corpus.utterances[:36])
    seen = []
    one = align_corpus(corpus, tmp_path / "one", workers=1)
    two = align_corpus(corpus, tmp_path / "two", workers=2, on_progress=lambda done, total, seconds: seen.append((done, total)))
    assert texts(tmp_path / "one") == texts(tmp_path / "two")
    assert dataclasses.replace(two, folder=one.folder) == one
    assert seen[-1] == (36, 36)
    assert sorted(seen) == seen


def test_textgrids_of_others_are_never_overwritten(tmp_path: Path, plain: list[Utterance], make_manifest: MakeManifest) -> None:
    corpus = open_corpus(make_manifest(tmp_path / "own", [("u", plain[0].wav, plain[0].text)]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "u.TextGrid").write_text("of MFA")
    with pytest.raises(AlignError, match=f"holds TextGrids but no {LOG_NAME}"):
        align_corpus(corpus, tmp_path / "out", workers=1)
    assert (tmp_path / "out" / "u.TextGrid").read_text() == "of MFA"


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, spoken: Any) -> None:
    corpus = dataclasses.replace(spoken.corpus, utterances=tuple(u for u in spoken.corpus if u.session == "1"))
    root = corpus.utterances[0].wav.parents[4]
    command = [sys.executable, "-m", "mer.cli", "align", "--corpus", str(root), "--to", str(tmp_path / "out"), "--workers", "1"]
    command += ["--session", "1"]
    process = subprocess.Popen([*command, "--quiet"], stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(texts(tmp_path / "out")) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = texts(tmp_path / "out")
    with (tmp_path / "out" / LOG_NAME).open("a") as log:
        log.write('{"id": "torn')  # as a kill in the middle of a line leaves it
    summary = align_corpus(corpus, tmp_path / "out", workers=1)
    assert 3 <= len(there) < len(corpus)
    assert summary.made <= len(corpus) - len(there) + PIECE_UTTERANCES
    assert summary.aligned == len(texts(tmp_path / "out")) == len(corpus)
    assert there.items() <= texts(tmp_path / "out").items()
    assert align_corpus(corpus, tmp_path / "out", workers=1).made == 0
