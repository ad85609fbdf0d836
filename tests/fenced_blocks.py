"""What the documents show between fences: commands, files and programs."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
GENERATED = ("docs/api.md", "docs/cli.md")
"""Pages that a program writes from the code: they show how a command is called, not a command."""
_BLOCK = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    """What stands after the fence; `console` are commands, as they are given."""
    title: str | None
    """The name of the file that it is."""
    text: str
    """All lines, with their ends."""

    @property
    def commands(self) -> list[str]:
        """The lines of a `console` block, those that a backslash continues as one."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def blocks_of(text: str) -> list[Block]:
    """Every fenced block of a page's text, in its order."""
    return [Block(language=each["language"], title=each["title"], text=each["text"]) for each in _BLOCK.finditer(text)]


def pages() -> dict[str, list[Block]]:
    """The blocks of every page that people write, by its path from the root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    names = {path.relative_to(ROOT).as_posix(): path for path in sorted(found)}
    return {name: blocks_of(path.read_text("utf-8")) for name, path in names.items() if name not in GENERATED}


def environment() -> dict[str, str]:
    """What a command of a page is run in: the same package that the tests import, and no setting of whoever runs them."""
    here = {name: value for name, value in os.environ.items() if not name.startswith("MER_")}
    paths = [str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return here | {"PYTHONPATH": os.pathsep.join(paths)}
