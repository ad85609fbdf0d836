"""What is in the repository is in the wheel: the root is the package, so setuptools has to be told."""

import tomllib
from pathlib import Path

import mer

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_code_is_listed() -> None:
    folders = {f.parent.relative_to(ROOT) for f in ROOT.rglob("__init__.py") if f.parent != ROOT}
    folders = {f for f in folders if f.parts[0] not in (".dev", ".venv", "build", "tests")}
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert {".".join(["mer", *folder.parts]) for folder in folders} == listed


def test_the_root_holds_only_the_package_and_its_commands() -> None:
    assert {file.name for file in ROOT.glob("*.py")} == {"__init__.py", "cli.py"}


def test_the_version_is_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert f"## {mer.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_pinned_for_tests() -> None:
    pins = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    wanted = [*PROJECT["project"]["dependencies"]]
    wanted += [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
    names = {line.split(">=")[0].split("[")[0].strip().lower() for line in wanted} - {"mer-fusion"}
    assert names <= pins
