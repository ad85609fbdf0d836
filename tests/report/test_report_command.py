"""`mer report` as a person meets it."""

import errno
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from mer.cli import app
from mer.files import Disk

run = CliRunner().invoke
Make = Callable[..., Path]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Corpus with the eight utterances of the small runs; u8 has no recording."""
    folder = tmp_path / "corpus with spaces"
    folder.mkdir()
    lines = []
    for number in range(1, 9):
        label = "sad" if number in (3, 4, 8) else "angry"
        entry = {
            "id": f"u{number}",
            "wav": f"u{number}.wav",
            "text": f"text {number} <b>",
            "label": label,
            "speaker": f"S{number % 2}",
        }
        lines.append(json.dumps(entry | {"session": "1" if number < 5 else "2"}))
        if number < 8:
            tone = np.sin(np.arange(16000 * number // 4) / 20) * np.linspace(0, 0.5, 16000 * number // 4)
            soundfile.write(folder / f"u{number}.wav", tone, 16000)
    (folder / "tiny.jsonl").write_text("\n".join(lines))
    return folder / "tiny.jsonl"


def page_utterances(page: Path) -> list[dict[str, object]]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found
    utterances: list[dict[str, object]] = json.loads(found[1])["utterances"]
    return utterances


def test_tables_figures_and_page_are_written(two_runs: Path, manifest: Path, tmp_path: Path) -> None:
    done = run(app, ["report", str(two_runs), "--to", str(tmp_path / "out"), "--corpus", str(manifest)])
    assert done.exit_code == 0, done.output
    assert "93.75" in done.stdout
    assert "compared with late F+T" in done.stdout
    assert f"page      {tmp_path / 'out' / 'index.html'}" in done.stderr
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"table.md", "table.tex", "table.csv", "figures", "index.html"}
    figures = {file.name for file in (tmp_path / "out" / "figures").iterdir()}
    assert {"ua-by-head.pdf", "ua-by-head.png", "ua-by-speaker.pdf", "confusion.pdf", "learning-curves.png"} <= figures
    first, *_, last = page_utterances(tmp_path / "out" / "index.html")
    assert (first["t"], first["k"], first["d"]) == ("text 1 <b>", "S1", 25)
    assert first["a"] == "../corpus%20with%20spaces/u1.wav"
    # Loudness rises in a straight line: the first of 100 stretches has 1 % of the last one's.
    assert str(first["p"])[0] == "B"
    assert str(first["p"])[-1] == "/"
    assert "a" not in last
    assert last["t"] == "text 8 <b>"


def test_a_full_disk_leaves_the_report_of_before(two_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "table.md").write_text("of before")
    monkeypatch.setattr(Disk, "write", full)
    done = run(app, ["report", str(two_runs), "--to", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "table.md: could not be written (No space left on device)" in done.stderr
    assert [file.read_text() for file in (tmp_path / "out").iterdir() if file.is_file()] == ["of before"]


@pytest.mark.slow
def test_recordings_are_embedded_up_to_the_limit_disagreements_first(two_runs: Path, manifest: Path, tmp_path: Path) -> None:
    options = ["--audio", "embed", "--audio-limit", "0.1", "--corpus", str(manifest)]
    done = run(app, ["report", str(two_runs), "--to", str(tmp_path / "out"), *options])
    assert done.exit_code == 0, done.output
    embedded = [row["i"] for row in page_utterances(tmp_path / "out" / "index.html") if "a" in row]
    # u3 and u4 (of 3/4 s and 1 s, 32 and 43 kB as base64) are disagreed about; u8 too, but has no recording. u1 fits beside them.
    assert embedded == ["u1", "u3", "u4"]
    assert "3 of 8 recordings are in this page (0.1 MB)" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.slow
def test_without_audio_nothing_points_to_recordings(two_runs: Path, manifest: Path, tmp_path: Path) -> None:
    done = run(app, ["report", str(two_runs), "--to", str(tmp_path / "out"), "--audio", "none", "--corpus", str(manifest)])
    assert done.exit_code == 0, done.output
    assert all("a" not in row for row in page_utterances(tmp_path / "out" / "index.html"))


def test_without_a_corpus_the_page_says_what_is_missing(two_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MER_CORPUS", raising=False)
    done = run(app, ["report", str(two_runs), "--to", "out"])
    assert done.exit_code == 0, done.output
    assert "No corpus and no feature cache at hand" in (tmp_path / "out" / "index.html").read_text()
    assert len(page_utterances(tmp_path / "out" / "index.html")) == 8


def test_columns_are_chosen_and_a_table_may_be_wide(two_runs: Path) -> None:
    narrow = run(app, ["report", str(two_runs), "--format", "latex", "--columns", "ua,kappa"])
    assert r"    head & UA & kappa \\" in narrow.stdout
    assert r"\begin{table*}" in run(app, ["report", str(two_runs), "--format", "latex", "--wide"]).stdout
    for wrong, told in (
        (["--format", "latex", "--columns", "uaa"], "this table has no column 'uaa'; expected some of utterances, ua"),
        (["--columns", "ua"], "--columns is of LaTeX and Markdown tables: give --format latex"),
        (["--wide", "--format", "csv"], "--wide is of LaTeX and Markdown tables"),
    ):
        refused = run(app, ["report", str(two_runs), *wrong])
        assert refused.exit_code == 2
        assert told in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("table_format", "start"),
    [
        ("markdown", "**tiny, 2 classes**"),
        ("latex", "% \\usepackage{booktabs,tabularx}\n\\begin{table}\n"),
        ("csv", "name,status,"),
    ],
)
def test_the_format_decides_what_is_printed(two_runs: Path, table_format: str, start: str) -> None:
    done = run(app, ["report", str(two_runs), "--format", table_format])
    assert done.exit_code == 0
    assert done.stdout.startswith(start)


def test_json_has_the_difference_from_the_named_reference(two_runs: Path) -> None:
    done = run(app, ["report", str(two_runs), "--json", "--reference", "linear T"])
    (table,) = json.loads(done.stdout)["tables"]
    (row,) = table["comparisons"]
    assert (row["row"], row["reference"], row["pairs"]) == ("late F+T", "linear T", 4)
    # By hand: 15/16 - 17/24.
    assert row["difference"] == pytest.approx(11 / 48)
    assert (table["table"]["reference"], table["table"]["chosen"]) == ("linear T", True)
    (other,) = json.loads(run(app, ["report", str(two_runs), "--json"]).stdout)["tables"]
    assert (other["table"]["reference"], other["table"]["chosen"]) == ("late F+T", False)


def test_two_runs_are_compared(two_runs: Path) -> None:
    folders = [str(two_runs / name) for name in ("tiny-late-F+T-22222222", "tiny-linear-T-11111111")]
    done = run(app, ["report", "--compare", *folders, "--json"])
    assert done.exit_code == 0, done.output
    pair = json.loads(done.stdout)
    assert (pair["a"], pair["b"], len(pair["changed"])) == ("late F+T", "linear T", 3)
    assert pair["comparison"]["difference"] == pytest.approx(11 / 48)
    assert "3 of 8 utterances changed" in run(app, ["report", "--compare", *folders]).stdout


def test_a_row_on_other_utterances_is_named_and_the_others_are_compared(two_runs: Path, tmp_path: Path, make_run: Make) -> None:
    folder = make_run(tmp_path / "odd", {("1", 0): "aass", ("2", 0): "ssss"}, fusion="coattention", branches=("F",))
    file = folder / "predictions.csv"
    file.write_text(file.read_text().replace(",u1,", ",other,"))
    done = run(app, ["report", str(two_runs), str(folder), "--json"])
    (table,) = json.loads(done.stdout)["tables"]
    assert [row["row"] for row in table["comparisons"]] == ["linear T"]
    assert "compare runs on the same data" in table["not_compared"]["coattention F"]


@pytest.mark.slow
def test_different_corpora_need_force_and_get_a_folder_each(two_runs: Path, tmp_path: Path, make_run: Make) -> None:
    other = make_run(tmp_path / "other", {("1", 0): "aass"}, corpus="other")
    refused = run(app, ["report", str(two_runs), str(other)])
    assert refused.exit_code == 2
    assert "cannot share a table" in refused.stderr
    done = run(app, ["report", str(two_runs), str(other), "--force", "--to", str(tmp_path / "out"), "-q"])
    assert done.exit_code == 0, done.output
    assert {file.parent.name for file in (tmp_path / "out").glob("*/index.html")} == {"tiny-angry-sad", "other-angry-sad"}


def test_a_torn_log_is_said_and_no_reason_to_stop(two_runs: Path) -> None:
    log = two_runs / "tiny-linear-T-11111111" / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-30])
    done = run(app, ["report", str(two_runs)])
    assert done.exit_code == 0
    assert "linear T: metrics.jsonl: the last line is torn and was left out" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
@pytest.mark.parametrize("ending", ["result", "interrupt"])
def test_a_run_is_watched_on_a_terminal_until_it_is_finished(tmp_path: Path, make_run: Make, ending: str) -> None:
    import pty

    folder = make_run(tmp_path / "tiny-linear-T-1", {("1", 0): "aass", ("2", 0): "aass"}, finished=False)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mer.cli", "report", "--watch", str(folder)]
    env = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    seen = ""

    def until(text: str) -> None:
        nonlocal seen
        while text not in seen:
            assert select.select([ours], [], [], 60)[0], seen
            seen += os.read(ours, 65536).decode()

    try:
        until("not finished, 1 run ended, 5 epochs")
        with (folder / "running" / "fold2-seed0.jsonl").open("a") as lines:
            lines.write('{"fold": "2", "seed": 0, "epoch": 3, "validation_ua": 0.97}\n{"fold": "2", "se')
        until("not finished, 1 run ended, 6 epochs")
        until("97.00")
        if ending == "result":
            (folder / "result.json").write_text("{}")
            until("finished, 0 epochs")
        else:
            os.killpg(process.pid, signal.SIGINT)
        code = process.wait(timeout=60)
        assert code == {"result": 0, "interrupt": 130}[ending]
        assert (folder / "result.json").exists() == (ending == "result")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_finished_run_is_watched_once(two_runs: Path) -> None:
    done = run(app, ["report", "--watch", str(two_runs / "tiny-linear-T-11111111")])
    assert done.exit_code == 0
    assert "finished, 12 epochs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which runs"),
        (["nowhere"], "nowhere: no such folder"),
        (["RUNS", "--format", "word"], "expected one of terminal, markdown, latex, csv"),
        (["RUNS", "--audio", "loud"], "expected one of link, embed, none"),
        (["RUNS", "--reference", "best"], "there is no finished row 'best'; expected one of 'late F+T', 'linear T'"),
        (["--watch", "nowhere"], "nowhere: no such run directory"),
        (["--watch", "RUNS"], "holds no run (no config.json); give the one that is being written"),
        (["--compare", "RUNS", "nowhere"], "nowhere: no such folder"),
        (["--compare", "RUNS/tiny-linear-T-11111111", "RUNS/tiny-linear-T-11111111"], "takes two run directories"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(two_runs: Path, arguments: list[str], message: str) -> None:
    done = run(app, ["report", *(each.replace("RUNS", str(two_runs)) for each in arguments)])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
