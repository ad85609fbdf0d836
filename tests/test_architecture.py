"""The house stands as its plan says: rooms import downwards only, and nothing sits between them.

    python tests/test_architecture.py

writes the table of rooms in CONTRIBUTING.md anew.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ALLOWED: dict[str, set[str]] = {
    "backends": set(),
    "corpus": {"backends"},
    "cache": set(),
    "protocol": {"corpus"},
    "settings": {"files"},
    "files": set(),
    "results": {"protocol"},
    "tracking": {"results"},
    "report": {"protocol", "results", "cache", "corpus", "backends"},
    "extract": {"backends", "corpus", "cache"},
    "recognise": {"backends", "corpus", "extract"},
    "heads": {"backends", "cache", "protocol", "results", "tracking"},
    "finetune": {"backends", "corpus", "extract", "heads", "protocol", "results", "tracking"},
    "grids": {"backends", "cache", "corpus", "finetune", "heads", "protocol", "results", "tracking"},
    "predict": {"backends", "cache", "corpus", "extract", "recognise", "heads", "finetune", "protocol", "results"},
    "status": {"backends", "cache", "corpus", "extract", "protocol", "report", "results"},
    "demo": {"corpus"},
    "cli": {"commands"},
}
ALLOWED["commands"] = set(ALLOWED) - {"cli"}
for room in set(ALLOWED) - {"settings", "files"}:
    ALLOWED[room] |= {"settings", "files"}


EVERYWHERE = {"settings", "files"}
"""Rooms that every other one may import."""
HANDED_ON = {"cache/utterance_mapping.py": {"heads"}}
"""Methods that users call on an object and a higher room does: imported when they are called, which nothing below does."""
TOO_LONG_YET: set[str] = set()
"""Functions that are to be shortened, as file/function; none may join them."""
TABLE = re.compile(r"(?<=\| room \| what is inside \| may import \|\n\|---\|---\|---\|\n)(\|.*\n)+")


def imported_rooms(files: list[Path]) -> set[str]:
    rooms = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            rooms |= {name.split(".")[1] for name in names if name.startswith("mer.")}
    return rooms


def files_of(room: str) -> list[Path]:
    return [ROOT / "cli.py"] if room == "cli" else sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_point_one_way(room: str) -> None:
    files = files_of(room)
    assert files
    for file in files:
        handed_on = HANDED_ON.get(file.relative_to(ROOT).as_posix(), set())
        assert imported_rooms([file]) - {room} - handed_on <= ALLOWED[room], file


def test_what_is_handed_on_is_imported_when_it_is_called_only() -> None:
    for name, rooms in HANDED_ON.items():
        tree = ast.parse((ROOT / name).read_text())
        at_once = [node for node in tree.body if isinstance(node, ast.ImportFrom | ast.Import)]
        names = {str(node.module) for node in at_once if isinstance(node, ast.ImportFrom)}
        assert {each.split(".")[1] for each in names if each.startswith("mer.")} & rooms == set()


def test_the_rule_can_be_broken(tmp_path: Path) -> None:
    (tmp_path / "upward.py").write_text("from mer.heads import trainer\nimport mer.cli\n")
    assert imported_rooms([tmp_path / "upward.py"]) == {"heads", "cli"}


def test_every_room_has_its_rule() -> None:
    rooms = {folder.parent.name for folder in ROOT.glob("*/__init__.py")}
    assert rooms | {"cli"} == set(ALLOWED)


@pytest.mark.parametrize("room", ALLOWED)
def test_no_file_holds_more_than_one_noun_can_need(room: str) -> None:
    lengths = {file.name: len(file.read_text().splitlines()) for file in files_of(room)}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("name", ["utils", "common", "helpers", "misc"])
def test_no_drawer_for_everything(name: str) -> None:
    assert not [file for room in ALLOWED for file in files_of(room) if file.stem == name or file.parent.name == name]


@pytest.mark.parametrize("room", ALLOWED)
def test_no_function_is_longer_than_a_screen(room: str) -> None:
    long = set()
    for file in files_of(room):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60:
                long.add(f"{file.stem}/{node.name}")
    assert long <= TOO_LONG_YET


@pytest.mark.parametrize("room", ALLOWED)
def test_no_docstring_begins_with_a_bare_of(room: str) -> None:
    assert not [file.name for file in files_of(room) if '"""Of ' in file.read_text()]


def table_of_rooms() -> str:
    """Every room, the highest first: the first sentence of its docstring, and what it may import beside `EVERYWHERE`."""
    lines = ["| `cli.py` | the commands, put together | all |"]
    for name in reversed(ALLOWED):
        if name == "cli":
            continue
        about = (ast.get_docstring(ast.parse((ROOT / name / "__init__.py").read_text())) or "").split("\n\n")[0]
        rooms = sorted(ALLOWED[name] - EVERYWHERE, key=list(ALLOWED).index, reverse=True)
        told = "all" if name == "commands" else " ".join(f"`{each}`" for each in rooms) or "-"
        lines.append(f"| `{name}/` | {about.replace(chr(10), ' ').rstrip('.')} | {told} |")
    return "\n".join(lines) + "\n"


def test_contributing_shows_the_rule() -> None:
    found = TABLE.search((ROOT / "CONTRIBUTING.md").read_text())
    assert found is not None
    assert found[0] == table_of_rooms(), "write it anew: python tests/test_architecture.py"


if __name__ == "__main__":
    place = ROOT / "CONTRIBUTING.md"
    place.write_text(TABLE.sub(lambda found: table_of_rooms(), place.read_text()))


OWN_FILES = {
    "corpus/sphinx_alignment.py",
    "extract/families/checkpoint.py",
    "grids/grid_file.py",
    "grids/grid_record.py",
    "heads/own_kind.py",
    "report/page.py",
    "report/papers.py",
    "results/run_directory.py",
    "settings/lazy.py",
}
"""What reads files of the package, of an import, or of this very process."""


@pytest.mark.parametrize("room", sorted(set(ALLOWED) - {"backends", "cli", "commands", "demo", "files"}))
def test_files_of_users_are_opened_in_the_one_way_that_waits_for_no_pipe(room: str) -> None:
    raw = re.compile(r"\.read_text\(|\.read_bytes\(|(?<!av)\.open\((\"rb\"|encoding)")
    places = {file.relative_to(ROOT).as_posix() for file in files_of(room) if raw.search(file.read_text())}
    assert places - OWN_FILES == {name for name in places if name.startswith("corpus/synthetic/")}
