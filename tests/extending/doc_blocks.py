"""The sections of docs/extending.md as what a reader would do: files to write, and commands to give one after the other.

A file is a fenced block whose first line says its name, as in `python title="gated_fusion.py"`. A line of a `console` block may
begin with settings of the environment, as in `MER_PLUGINS=own_heads mer grid rows.toml`.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from mer.tests.fenced_blocks import blocks_of, environment

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
SECONDS = 300
"""A command that takes longer than this hangs."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One line of a shell block."""

    words: tuple[str, ...]
    """From `mer` on, without it."""
    environment: Mapping[str, str]
    """What stands before `mer`."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One exercise of the page."""

    files: Mapping[str, str]
    """Name of each file to its text."""
    commands: tuple[Command, ...]
    """In the order of the page."""

    def write(self, folder: Path) -> None:
        """Put the files into a folder."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")


def section(title: str) -> Section:
    """The exercise under the heading `## title`."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[title]
    blocks = blocks_of(text)
    lines = [line for block in blocks if block.language == "console" for line in block.commands]
    return Section(
        files={block.title: block.text for block in blocks if block.title},
        commands=tuple(_command(line) for line in lines),
    )


def _command(line: str) -> Command:
    words = shlex.split(line, comments=True)
    start = words.index("mer")
    settings = dict(word.split("=", 1) for word in words[:start])
    return Command(words=tuple(words[start + 1 :]), environment=settings)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a command said."""

    code: int
    """Its exit code."""
    output: str
    """Standard output."""
    errors: str
    """Standard error."""


def follow(page: Section, folder: Path) -> dict[str, Told]:
    """Do what a section says, in a folder; what each command said, by its words without `mer`.

    Commands that follow each other with one environment share a process, which saves the seconds that PyTorch takes to start.
    """
    page.write(folder)
    told: dict[str, Told] = {}
    for settings, some in groupby(page.commands, key=lambda command: dict(command.environment)):
        told |= give([command.words for command in some], folder, settings)
    return told


def done(folder: Path, title: str) -> dict[str, Told]:
    """What a section's commands said, none of which failed."""
    told = follow(section(title), folder)
    failed = {words: each for words, each in told.items() if each.code != 0}
    assert not failed, failed
    return told


def result_of(folder: Path, pattern: str) -> dict[str, Any]:
    """The result of the one run directory in `runs` whose name fits."""
    (found,) = (folder / "runs").glob(f"{pattern}/result.json")
    values: dict[str, Any] = json.loads(found.read_text())
    return values


def give(commands: Sequence[Sequence[str]], folder: Path, settings: Mapping[str, str]) -> dict[str, Told]:
    """Give commands one after the other in a folder, in a process of their own: nothing that it imports stays here."""
    done = subprocess.run(
        [sys.executable, "-c", GIVE, json.dumps([list(words) for words in commands])],
        cwd=folder,
        env={**environment(), "COLUMNS": "200", **settings},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {" ".join(words): Told(**each) for words, each in zip(commands, found, strict=True)}


GIVE = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
from mer.cli import app
told = []
for words in json.loads(sys.argv[1]):
    # As a shell makes files of a pattern.
    words = [each for word in words for each in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    done = CliRunner().invoke(app, words)
    told.append({"code": done.exit_code, "output": done.stdout, "errors": done.stderr})
print(json.dumps(told))
"""
"""Runs commands as the shell would, and prints what they said as one line."""
