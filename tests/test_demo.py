"""The main job end to end, as the README promises it: `mer demo`."""

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_demo_shows_that_fusion_gains_on_both_modalities(tmp_path: Path) -> None:
    command = [
        str(Path(sysconfig.get_path("scripts")) / "mer"),
        "demo",
        "--to",
        str(tmp_path / "demo"),
        "--json",
        "--quiet",
    ]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""
    results = json.loads(done.stdout)["results"]
    assert [result["branches"] for result in results] == [["T"], ["F", "S"], ["F", "S", "T"]]
    text, speech, both = (result["summary"]["all"]["ua"]["mean_of_folds"] for result in results)
    assert min(text, speech) > 0.5  # chance is 0.25
    assert both > max(text, speech) + 0.03
    for result in results:
        assert result["synthetic"] is True
        assert result["utterances"]["failed_extraction"] == 0
        assert result["summary"]["runs"] == 10
        assert result["summary"]["all"]["utterances"] == result["utterances"]["used"]


def test_the_readme_says_what_the_demo_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^python -m pip install .*$", readme, flags=re.MULTILINE)
    assert commands == [
        'python -m pip install -c constraints.txt -e ".[demo]" && mer demo',
        'python -m pip install -c constraints.txt -e ".[dev]" && python -m pytest -n 2',
    ]
    assert "grep -m1 '^python -m pip install .*&& python -m pytest -n 2$' README.md" in (ROOT / ".ci" / "run").read_text()
