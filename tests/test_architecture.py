"""The house stands as its plan says: rooms import downwards only, and nothing sits between them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ALLOWED: dict[str, set[str]] = {
    "backends": set(),
    "corpus": {"backends"},
    "cache": set(),
    "protocol": set(),
    "settings": set(),
    "files": set(),
    "results": {"protocol"},
    "report": {"protocol", "results"},
    "extract": {"backends", "corpus", "cache"},
    "heads": {"backends", "cache", "protocol", "results"},
    "finetune": {"backends", "corpus", "extract", "heads", "protocol", "results"},
    "grids": {"backends", "cache", "corpus", "finetune", "heads", "protocol", "results"},
    "predict": {"corpus", "extract", "heads", "finetune", "protocol", "results"},
    "status": {"cache", "report", "results"},
    "doctor": {"corpus", "cache", "protocol"},
    "demo": {"corpus"},
    "cli": {"commands"},
}
ALLOWED["commands"] = set(ALLOWED) - {"cli"}
for room in set(ALLOWED) - {"settings", "files"}:
    ALLOWED[room] |= {"settings", "files"}


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
    assert imported_rooms(files) - {room} <= ALLOWED[room]


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
