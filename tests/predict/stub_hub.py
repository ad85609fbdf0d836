"""A Hugging Face hub of the tests' own, in a thread: what its library asks of the real one to make, fill and read a model."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """A model, with its commits from the oldest to the newest."""

    private: bool
    commits: dict[str, Files] = field(default_factory=dict)
    gated: bool = False
    headers: list[dict[str, str]] = field(default_factory=list)
    """What each commit said of itself."""

    @property
    def newest(self) -> str:
        return list(self.commits)[-1]

    def commit(self, files: Files) -> str:
        name = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[name] = files
        return name

    def at(self, revision: str) -> tuple[str, Files]:
        """Commit and files of `main` or of a commit; raises KeyError."""
        name = self.newest if revision == "main" else revision
        return name, self.commits[name]


class StubHub(ThreadingHTTPServer):
    """What is on the hub, and what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.models: dict[str, Repository] = {}
        self.asked: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def make(self, name: str, *, private: bool = False, files: Files | None = None) -> Repository:
        self.models[name] = Repository(private=private)
        self.models[name].commit({".gitattributes": b"*.safetensors filter=lfs\n", **(files or {})})
        return self.models[name]


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, **told: str) -> None:
        super().__init__(code)
        self.status, self.code, self.told = status, code, told


class _Answers(BaseHTTPRequestHandler):
    server: StubHub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(self._post)

    def _answer(self, find: Any) -> None:
        parts = [unquote(each) for each in urlsplit(self.path).path.strip("/").split("/")]
        self.server.asked.append(f"{self.command} {'/'.join(parts)}")
        try:
            headers, body = find(parts)
            status = HTTPStatus.OK
        except _RefusedError as problem:
            body = json.dumps({"error": problem.code, **problem.told}).encode()
            headers, status = {"X-Error-Code": problem.code}, HTTPStatus(problem.status)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _model(self, name: str) -> Repository:
        if name not in self.server.models:
            raise _RefusedError(401, "RepoNotFound")
        return self.server.models[name]

    def _at(self, name: str, revision: str) -> tuple[str, Files]:
        try:
            return self._model(name).at(revision)
        except KeyError:
            raise _RefusedError(404, "RevisionNotFound") from None

    def _get(self, parts: list[str]) -> tuple[dict[str, str], bytes]:
        match parts:
            case [""]:
                return {}, b""
            case ["api", "models", owner, name]:
                return self._info(f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "revision", revision]:
                return self._info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "tree", revision, *_]:
                _, files = self._at(f"{owner}/{name}", revision)
                return _json([{"type": "file", "path": p, "size": len(c), "oid": _oid(c)} for p, c in files.items()])
            case [owner, name, "resolve", revision, *path]:
                return self._resolve(f"{owner}/{name}", revision, "/".join(path))
        raise _RefusedError(404, f"nothing at {parts}")

    def _info(self, name: str, revision: str) -> tuple[dict[str, str], bytes]:
        commit, files = self._at(name, revision)
        there = [{"rfilename": each} for each in files]
        return _json({"id": name, "sha": commit, "private": self._model(name).private, "siblings": there})

    def _resolve(self, name: str, revision: str, path: str) -> tuple[dict[str, str], bytes]:
        if self._model(name).gated:
            raise _RefusedError(403, "GatedRepo")
        commit, files = self._at(name, revision)
        if path not in files:
            raise _RefusedError(404, "EntryNotFound")
        return {"X-Repo-Commit": commit, "ETag": f'"{_oid(files[path])}"'}, files[path]

    def _post(self, parts: list[str]) -> tuple[dict[str, str], bytes]:
        match parts:
            case ["api", "repos", "create"]:
                return self._create(json.loads(self._body))
            case ["api", "validate-yaml"]:
                return _json({"errors": [], "warnings": []})
            case ["api", "models", owner, name, "preupload", _]:
                wanted = [each["path"] for each in json.loads(self._body)["files"]]
                held = self._model(f"{owner}/{name}")
                gone = held.at("main")[1].get(".gitignore", b"").decode().split()
                modes = [{"path": each, "uploadMode": "regular", "shouldIgnore": each in gone} for each in wanted]
                return _json({"files": modes})
            case ["api", "models", owner, name, "commit", "main"]:
                commit = self._commit(self._model(f"{owner}/{name}"))
                url = f"{self.server.endpoint}/{owner}/{name}/commit/{commit}"
                return _json({"success": True, "commitOid": commit, "commitUrl": url})
        raise _RefusedError(404, f"nothing at {parts}")

    def _create(self, asked: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        name = f"{asked['organization']}/{asked['name']}"
        if self.headers.get("Authorization") == "Bearer of-a-guest":
            raise _RefusedError(403, "Forbidden")
        url = f"{self.server.endpoint}/{name}"
        if name in self.server.models:
            raise _RefusedError(409, "Conflict", url=url)
        # Versions of the library say it in two ways.
        self.server.make(name, private=asked.get("private") is True or asked.get("visibility") == "private")
        return _json({"url": url, "name": name})

    def _commit(self, model: Repository) -> str:
        files = dict(model.at("main")[1])
        for line in self._body.splitlines():
            each = json.loads(line)
            value = each["value"]
            match each["key"]:
                case "header":
                    if value.get("parentCommit", model.newest) != model.newest:
                        raise _RefusedError(412, "PreconditionFailed")
                    model.headers.append(value)
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "deletedFile":
                    del files[value["path"]]
        return model.commit(files)


def _json(value: Any) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, json.dumps(value).encode()


def _oid(content: bytes) -> str:
    """As git names a file: the hub's library stores what it downloads under this name."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def running() -> Iterator[StubHub]:
    """The hub, while it is needed."""
    hub = StubHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
