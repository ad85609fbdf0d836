"""Registries: what is added is found, in this process and in others; what is not is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mer.settings import PluginError, Registry, UnknownEntryError, import_own


def heads() -> Registry[int]:
    registry = Registry[int]("fusion head")
    registry.add("late", 1)
    registry.add("coattention", 2)
    return registry


def test_entries_come_in_the_order_they_were_added() -> None:
    registry = heads()
    assert (dict(registry), "late" in registry, len(registry)) == ({"late": 1, "coattention": 2}, True, 2)


def test_an_unknown_name_is_an_error_with_the_nearest_and_all_valid_ones() -> None:
    with pytest.raises(UnknownEntryError) as told:
        heads()["coatention"]
    expected = "unknown fusion head 'coatention' (did you mean 'coattention'?): expected one of late, coattention"
    assert str(told.value) == expected
    assert heads().get("gated") is None


def test_a_name_is_given_once() -> None:
    registry = heads()
    registry.add("late", 1)
    with pytest.raises(ValueError, match="a fusion head named 'late' exists already"):
        registry.add("late", 3)


def test_modules_of_the_environment_add_to_a_registry_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "kinds.py").write_text("from mer.settings import Registry\nKINDS = Registry[int]('kind')\n")
    (tmp_path / "mine.py").write_text("from kinds import KINDS\nassert 'mine' not in KINDS\nKINDS.add('mine', 3)\n")
    # Spawned: the worker knows nothing but its environment.
    (tmp_path / "ask.py").write_text(
        "import multiprocessing, os\n"
        "from kinds import KINDS\n"
        "def look(): return KINDS['mine']\n"
        "if __name__ == '__main__':\n"
        "    os.environ['MER_PLUGINS'] = 'mine'\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: print(look(), pool.apply(look))\n"
    )
    done = subprocess.run([sys.executable, "ask.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "3 3\n"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "no module named 'own_{}': .* were searched; give the name as in an import, without .py"),
        ("import not_there_either", "own_{} cannot be imported: No module named 'not_there_either'"),
        ("1 / 0", "own_{} cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(
    source: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name = f"own_{abs(hash(request.node.name))}"
    if source is not None:
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=told.format(name.removeprefix("own_"))):
        import_own(name)


@pytest.mark.parametrize("command", [["train-head"], ["report", "nowhere"], ["synth", "--help"]])
def test_a_plugin_that_is_missing_is_one_line_in_every_command(command: list[str]) -> None:
    # A process of its own: options are made when the commands are imported.
    environment = {**os.environ, "MER_PLUGINS": "surely_not_there"}
    done = subprocess.run([sys.executable, "-m", "mer.cli", *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: MER_PLUGINS: no module named 'surely_not_there'")
    assert len(done.stderr.splitlines()) == 1


def test_a_plugin_that_is_missing_is_said_to_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("MER_PLUGINS", "surely_not_there")
    with pytest.raises(PluginError, match="MER_PLUGINS: no module named 'surely_not_there'"):
        heads()["late"]
