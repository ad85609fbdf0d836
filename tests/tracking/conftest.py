"""Rows are heads and fine-tuned models; and nothing of a test may reach a network."""

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mer.tests.finetune.conftest import corpus as corpus
from mer.tests.finetune.conftest import fresh_accelerate as fresh_accelerate
from mer.tests.finetune.conftest import narrow_config as narrow_config
from mer.tests.finetune.conftest import text_row as text_row
from mer.tests.heads.conftest import make_cache as make_cache


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What anything in this process, or in one that it starts, asked a network for: all of it comes here."""
    heard: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            heard.append(self.rfile.readline())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        here = f"http://127.0.0.1:{server.server_address[1]}"
        for name in ("http_proxy", "https_proxy", "all_proxy", "wandb_base_url"):
            monkeypatch.setenv(name.upper(), here)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, here)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield heard
        server.shutdown()


@pytest.fixture
def offline(calls: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Trackers that keep what they are told in a folder, which is given; and nothing has left the machine in the end."""
    folder = tmp_path / "tracked"
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (folder / "mlflow").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes four seconds to begin; it has a test of its own
    for name in ("WANDB_PROJECT", "WANDB_DIR", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    assert calls == []
