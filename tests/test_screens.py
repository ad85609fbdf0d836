"""What others have named is harmless on screens and in tables; terminals of ASCII and closed pipes are no errors."""

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mer.commands.console import clear_errors, print_result, say
from mer.files.shown_text import shown, spreadsheet_cell
from mer.report import csv_table, find_runs, group_runs, latex_table, markdown_table, score_table

RUNS = Path(__file__).parent / "data" / "results-v1" / "runs"
EVIL = "a\x1b]0;title\x07\u202eexe.wav"
HARMLESS = r"a\x1b]0;title\x07\u202eexe.wav"


def test_what_moves_the_cursor_or_turns_text_round_is_written_out() -> None:
    assert shown(EVIL) == HARMLESS
    assert shown(HARMLESS) == HARMLESS
    assert (
        shown("ünïcode 字 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\tone\n")
        == "ünïcode 字 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\tone\n"
    )
    assert shown("\ud800\udcff\r\u2028\ufeff") == r"\ud800\udcff\r\u2028\ufeff"


def test_nothing_else_reaches_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("id")
    table.add_row(EVIL)
    print_result({}, Group(table, Text(EVIL)), as_json=False)
    say(EVIL, quiet=False)
    with pytest.raises(BaseException, match="2"), clear_errors():
        raise OSError(2, "No such file or directory", EVIL)
    told = capsys.readouterr()
    # rich takes the bell out of a Text itself.
    assert [HARMLESS in told.out, HARMLESS.replace(r"\x07", "") in told.out] == [True, True]
    assert told.err.count(HARMLESS) == 2
    assert not any(character in told.out + told.err for character in "\x1b\x07\u202e")


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-late", "'-late"),
        (" =1", "' =1"),
        *((each, each) for each in ("-0.5", "+1e-3", "late F+S", "", "12")),
    ],
)
def test_a_cell_that_begins_as_a_formula_is_text(cell: str, written: str) -> None:
    assert spreadsheet_cell(cell) == written


def named(name: str) -> Any:
    (group,) = group_runs(find_runs((RUNS,)))
    table = score_table(group)
    import dataclasses

    return dataclasses.replace(table, rows=tuple(dataclasses.replace(each, name=name) for each in table.rows))


def test_tables_in_files_hold_neither_formulas_nor_control_characters() -> None:
    table = named("=1\u202e\x1b")
    (first, *_) = list(csv.DictReader(io.StringIO(csv_table(table))))
    assert next(iter(first.values())) == r"'=1\u202e\x1b"
    for make in (csv_table, markdown_table, latex_table):
        assert not any(character in make(table) for character in "\x1b\u202e")


def mer(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    program = "import sys; from mer.cli import app; sys.argv[0] = 'mer'; app()"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=os.environ | environment)


@pytest.mark.slow
def test_a_terminal_of_ascii_gets_ascii_and_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    runs = shutil.copytree(RUNS, tmp_path / "rüns\u202e")
    process = mer("report", str(runs), PYTHONIOENCODING="ascii:strict", LC_ALL="C")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err.decode("ascii")) == (0, "")
    assert b"+-" in out
    out.decode("ascii")

    with mer("verify", str(runs), "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
