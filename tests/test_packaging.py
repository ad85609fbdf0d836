"""What is in the repository is in the wheel: the root is the package, so setuptools has to be told."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

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
    assert f'\nversion: "{mer.__version__}"\n' in (ROOT / "CITATION.cff").read_text()


def requirements() -> list[Requirement]:
    """What pyproject.toml names, extras included, but for the package itself."""
    lines = [*PROJECT["project"]["dependencies"]]
    lines += [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
    return [found for found in map(Requirement, lines) if found.name != PROJECT["project"]["name"]]


def pins(file: str) -> dict[str, Version]:
    """Versions of a constraints file by normalised name."""
    lines = [line.split("==") for line in (ROOT / file).read_text().splitlines() if "==" in line]
    return {canonicalize_name(name): Version(version) for name, version in lines}


def test_every_dependency_is_pinned_for_tests() -> None:
    assert {canonicalize_name(found.name) for found in requirements()} <= set(pins("constraints.txt"))


def test_the_oldest_versions_that_are_admitted_are_those_that_are_tried() -> None:
    oldest, wanted = pins("constraints-oldest.txt"), {}
    for found in requirements():
        (bound,) = found.specifier
        assert bound.operator == ">=", f"{found}: a dependency has one lower bound"
        wanted[canonicalize_name(found.name)] = Version(bound.version)
    torch = canonicalize_name("torch")
    wanted[torch] = pins("constraints.txt")[torch]  # constraints-oldest.txt has why
    assert {name: oldest.get(name) for name in wanted} == wanted


def test_ci_tries_the_oldest_versions() -> None:
    assert "-c constraints-oldest.txt" in (ROOT / ".ci" / "run").read_text()
