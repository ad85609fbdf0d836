"""The main job end to end, as the README promises it: `mer demo`."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from mer.commands.corpus_choice import raw_labels
from mer.commands.demo import prediction_command
from mer.corpus import open_corpus

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a demo, and what it printed as JSON; one that was made before, where CI has done so."""
    made = os.environ.get("MER_DEMO_MADE")
    if made:
        return Path(made), json.loads(Path(f"{made}.json").read_text())
    folder = tmp_path_factory.mktemp("demo")
    command = [str(Path(sysconfig.get_path("scripts")) / "mer"), "demo", "--to", str(folder), "--json", "--quiet"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""
    return folder, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_the_demo_shows_that_fusion_gains_on_both_modalities(demo: tuple[Path, Any]) -> None:
    results = demo[1]["results"]
    assert [result["branches"] for result in results] == [["T"], ["F", "S"], ["F", "S", "T"]]
    text, speech, both = (result["summary"]["all"]["ua"]["mean_of_folds"] for result in results)
    assert min(text, speech) > 0.5  # chance is 0.25
    assert both > max(text, speech) + 0.03
    for result in results:
        assert result["synthetic"] is True
        assert result["utterances"]["failed_extraction"] == 0
        assert result["summary"]["runs"] == 10
        assert result["summary"]["all"]["utterances"] == result["utterances"]["used"]


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_the_command_that_the_demo_ends_with_answers(demo: tuple[Path, Any]) -> None:
    utterance = next(iter(open_corpus(demo[0] / "IEMOCAP_synthetic", labels=raw_labels("4"))))
    command = prediction_command(Path(demo[1]["results"][-1]["directory"]), utterance)
    environment = os.environ | {"PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(f"{command} --json", shell=True, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["predictions"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_the_page_of_the_demo_sorts_filters_opens_plays_and_asks_nobody(demo: tuple[Path, Any]) -> None:
    browsers = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    requests: list[str] = []
    complaints: list[str] = []
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda sent: requests.append(sent.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda problem: complaints.append(str(problem)))
        page.goto((demo[0] / "report" / "index.html").as_uri())
        assert "Synthetic speech: not comparable with any corpus" in page.locator("body").inner_text()
        page.locator("#scores thead button", has_text="UA").first.click()
        best_first = [float(cell) for cell in page.locator("#scores tbody tr td:nth-child(3)").all_inner_texts()]
        assert best_first == sorted(best_first, reverse=True)
        assert best_first[0] == pytest.approx(100 * demo[1]["results"][2]["summary"]["all"]["ua"]["mean_of_folds"], abs=0.006)
        page.select_option("#f-label", label="sad")
        page.select_option("#f-session", "3")
        page.locator("#list .row").first.click()
        opened = page.locator("#list .open")
        assert opened.locator(".heads > div").count() == 3
        assert opened.locator(".words span").count() > 1
        assert opened.locator(".phones span").count() > 3
        page.keyboard.press("p")
        for _ in range(50):
            page.wait_for_timeout(100)
            if page.locator("#list audio").evaluate("audio => audio.currentTime") > 0:
                break
        assert page.locator("#list audio").evaluate("audio => audio.currentTime") > 0
        faults = axe.Axe().run(page).response["violations"]
        assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == []
        browser.close()
    assert {address.split(":")[0] for address in requests} <= {"file", "data"}
    assert complaints == []


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_the_notebook_runs_beside_the_demo(demo: tuple[Path, Any], tmp_path: Path) -> None:
    client, formats = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    (tmp_path / "demo-output").symlink_to(demo[0].resolve())
    notebook = formats.read(ROOT / "docs" / "notebooks" / "first_look.ipynb", as_version=4)
    kept = [each.get("outputs", []) for each in notebook.cells]
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    # What is kept for readers is of the same kind: text, tables, one figure. Warnings of this machine's libraries are not kept.
    shown = [[each for each in cell.get("outputs", []) if each.get("name") != "stderr"] for cell in notebook.cells]
    assert [list(map(kind, each)) for each in shown] == [list(map(kind, each)) for each in kept]


def kind(output: Any) -> list[str]:
    return [output["output_type"], *sorted(output.get("data", {}))]


def test_ci_compares_the_readme_with_the_demo_that_it_has_made() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    made = lines.index('mer demo --to "$work/demo" --json --quiet > "$work/demo.json"')
    assert lines[made + 1] == 'python tests/demo/readme_table.py "$work/demo.json"'


def test_the_readme_says_what_the_demo_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^python -m pip install .*$", readme, flags=re.MULTILINE)
    assert commands == [
        'python -m pip install -c constraints.txt -e ".[demo]" && mer demo',
        'python -m pip install -c constraints.txt -e ".[dev]" && python -m pytest -n 2',
    ]
    assert "grep -m1 '^python -m pip install .*&& python -m pytest -n 2$' README.md" in (ROOT / ".ci" / "run").read_text()
