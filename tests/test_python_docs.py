"""docs/python.md and docs/service.py do what they say, as they stand."""

import importlib.util
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from mer.cli import app
from mer.tests.fenced_blocks import blocks_of

DOCS, DATA = Path(__file__).parent.parent / "docs", Path(__file__).parent / "data"
BLOCKS = [block for block in blocks_of((DOCS / "python.md").read_text("utf-8")) if block.language == "python"]


def module_from(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has before the page: features, runs, an export, two recordings."""
    found = tmp_path_factory.mktemp("page")
    for name in ("features", "runs", "exported"):
        shutil.copytree(DATA / "results-v1" / name, found / name)
    module_from(DATA / "make_results_v1.py").write_corpus(found / "corpus")
    for row in (0, 1):
        shutil.copy(found / "corpus" / f"u{row}.wav", found / f"{('hello', 'u1')[row]}.wav")
    return found


def test_a_head_of_ones_own_is_twenty_lines_and_scores_what_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (script,) = (block.text for block in BLOCKS if block.title == "own_head.py")
    assert len([line for line in script.splitlines() if line]) <= 20
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(script, "own_head.py", "exec"), names)
    told = eval(capsys.readouterr().out)
    truth, answers = names["truth"], names["answers"]
    assert len(truth) == 9
    assert told == {
        "ua": pytest.approx(balanced_accuracy_score(truth, answers)),
        "wa": pytest.approx(accuracy_score(truth, answers)),
        "macro_f1": pytest.approx(f1_score(truth, answers, average="macro")),
    }


def test_the_page_works_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in BLOCKS:
        exec(compile(block.text, block.title or "docs/python.md", "exec"), names)
    assert names["batch"].units["S"].shape[0] == 4
    assert names["result"].corpus == "corpus"


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_RUN", str(folder / "exported"))
        yield module_from(DOCS / "service.py")


def asked(count: int) -> list[tuple[str, str]]:
    """Names of recordings, and what is said in them."""
    texts = module_from(DATA / "make_results_v1.py").TEXTS
    return [(f"u{number % 9}", texts[number % 3]) for number in range(count)]


def predicted(folder: Path, *words: str) -> dict[str, dict[str, Any]]:
    """What the command says, by the id of the recording."""
    told = CliRunner().invoke(app, ["predict", str(folder / "exported"), *words, "--json", "--alignment", "none"])
    assert told.exit_code == 0, told.output
    return {each["id"]: each for each in json.loads(told.stdout)["predictions"]}


def test_a_hundred_uploads_from_eight_threads_get_the_answers_of_the_command(service: ModuleType, folder: Path) -> None:
    from fastapi.testclient import TestClient

    rows = [json.dumps({"id": name, "wav": f"{name}.wav", "text": text}) for name, text in asked(9)]
    (folder / "corpus" / "new.jsonl").write_text("\n".join(rows) + "\n")
    expected = predicted(folder, str(folder / "corpus" / "new.jsonl"))
    questions, found = asked(100), dict[int, Any]()
    with TestClient(service.app) as client:
        assert client.get("/").json() == {"classes": ["ang", "hap", "sad"], "audio": True, "text": True}

        def ask(first: int) -> None:
            for number in range(first, len(questions), 8):
                name, text = questions[number]
                content = (folder / "corpus" / f"{name}.wav").read_bytes()
                found[number] = client.post("/predict", files={"wav": content}, data={"text": text})

        threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 100
    for number, (name, _) in enumerate(questions):
        assert found[number].status_code == 200, found[number].text
        answer = found[number].json()
        told = {key: expected[name][key] for key in answer}
        # Texts that go through the encoder together are rounded otherwise.
        assert answer.pop("probabilities") == pytest.approx(told.pop("probabilities"), abs=1e-7)
        assert answer == told
    assert len({each.text for each in found.values()}) == 9
    name, text = questions[4]
    alone = predicted(folder, "--wav", str(folder / "corpus" / f"{name}.wav"), "--text", text)[name]
    assert {number for number in found if found[number].json() == {key: alone[key] for key in found[number].json()}} == {
        *range(4, 100, 9)
    }


@pytest.mark.parametrize(
    ("content", "text", "reason"),
    [
        (b"this is no audio", "leave me alone", "recording: not readable as audio"),
        ("cut", "leave me alone", "recording: ends early: its header promises 0.250 s"),
        ("whole", "  ", "recording: no text, and this run reads it; give the words that are spoken"),
        (None, "leave me alone", "Field required"),
    ],
)
def test_a_bad_upload_is_a_422_with_the_reason(
    content: bytes | str | None, text: str, reason: str, service: ModuleType, folder: Path
) -> None:
    from fastapi.testclient import TestClient

    whole = (folder / "hello.wav").read_bytes()
    upload = {"cut": whole[:5_000], "whole": whole}.get(content, content) if isinstance(content, str) else content
    files = {} if upload is None else {"wav": upload}
    done = TestClient(service.app).post("/predict", files=files, data={"text": text})
    assert done.status_code == 422
    assert reason in done.text


def test_the_service_is_as_short_as_its_page_says() -> None:
    lines = len((DOCS / "service.py").read_text("utf-8").splitlines())
    assert f"a whole service in {lines} lines" in (DOCS / "service.md").read_text("utf-8")
