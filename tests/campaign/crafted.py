"""Files that somebody made on purpose, with the right hashes where hashes are asked for: refused in mer's own words, at once."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mer.tests.cache.test_hostile_files import CHANGES
from mer.tests.campaign.bit_flips import outcome
from mer.tests.campaign.forked import ChildError, HangError, asked
from mer.tests.campaign.material import Material
from mer.tests.campaign.tally import Tally

Case = tuple[str, Path, Callable[[Path], Any], Callable[[Path], Any]]
"""Name, a folder, what is changed in a copy of it, and who reads that."""
SECONDS = 30.0


def craft(material: Material, count: int, seed: int, root: Path) -> list[Tally]:
    """Every file once; `count` is how many at most."""
    tally = Tally(test="crafted files")
    root.mkdir(parents=True, exist_ok=True)
    answer = asked(lambda: _answer(material, material.exported), root)
    cases = [*_hdf5(material, root), *_safetensors(material), *_json(material)]
    for name, folder, change, read in cases[:: max(1, len(cases) // count)]:
        to = root / "crafted"
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(folder, to / folder.name)
        change(to / folder.name)
        tally.count += 1
        try:
            kind, said = asked(partial(outcome, read, to / folder.name), root, limit=SECONDS)
        except HangError as problem:
            tally.hangs += 1
            tally.seen.append(f"{name}: {problem}")
            continue
        except ChildError as problem:
            tally.tracebacks += 1
            tally.seen.append(f"{name}: {str(problem).strip()[-200:]}")
            continue
        if kind == "answer" and said != answer:
            tally.wrong += 1
            tally.seen.append(f"{name}: read as if nothing were wrong")
        elif kind == "traceback":
            tally.tracebacks += 1
            tally.seen.append(f"{name}: {said[:200]}")
    shutil.rmtree(root, ignore_errors=True)
    return [tally]


def _hdf5(material: Material, root: Path) -> Iterator[Case]:
    """Shards that lead elsewhere, lie or hold other things, sealed anew."""
    from mer.cache import CacheFolder, open_cache
    from mer.files import file_sha256

    root.mkdir(parents=True, exist_ok=True)
    secret = root / "secret.h5"
    with h5py.File(secret, "w") as file:
        file.create_dataset("data", data=np.ones((3, 2, 4), "f2"))
    key = material.cache.name

    def read(folder: Path) -> Any:
        cache = open_cache(folder / key)
        return [float(cache.read(name, "F").sum()) for name in cache.utterances.ids]

    def changing(change: Callable[[Any, Path], None]) -> Callable[[Path], None]:
        def apply(folder: Path) -> None:
            cache = CacheFolder.find(folder / key)
            name, sidecar = next(iter(cache.sidecars().items()))
            path = cache.shard_path(name)
            with h5py.File(path, "r+") as file:
                change(file, secret)
            again = replace(sidecar, bytes=path.stat().st_size, sha256=file_sha256(path))
            cache.sidecar_path(name).write_text(again.to_json(), "utf-8")

        return apply

    def lying(lie: dict[str, Any]) -> Callable[[Path], None]:
        def apply(folder: Path) -> None:
            cache = CacheFolder.find(folder / key)
            name, sidecar = next(iter(cache.sidecars().items()))
            datasets = dict(sidecar.datasets) | {"F/data": replace(sidecar.datasets["F/data"], **lie)}
            cache.sidecar_path(name).write_text(replace(sidecar, datasets=datasets).to_json(), "utf-8")

        return apply

    for change in CHANGES:
        yield f"HDF5, {change.__name__}", material.cache.parent, changing(change), read
    lies: tuple[dict[str, Any], ...] = ({"offset": 1 << 40}, {"offset": 0}, {"shape": (1 << 40, 2, 4)}, {"dtype": "|O"})
    for lie in lies:
        yield f"sidecar, {lie}", material.cache.parent, lying(lie), read


def _header(document: Any, data: bytes = bytes(64), length: int | None = None) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64], **changes}


SAFETENSORS: dict[str, bytes] = {
    "empty": b"",
    "a header of 2**63 bytes": _header({}, length=1 << 63),
    "a header longer than the file": _header({"a": _entry()}, length=10_000),
    "no JSON": _header(b"not json at all "),
    "a list": _header([1, 2]),
    "nested deeply": _header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "an unknown type": _header({"a": _entry(dtype="F99")}),
    "a negative offset": _header({"a": _entry(data_offsets=[-64, 0])}),
    "an offset past the end": _header({"a": _entry(data_offsets=[0, 1 << 40], shape=[1 << 38])}),
    "two in one place": _header({"a": _entry(), "b": _entry()}),
    "a hole": _header({"a": _entry(data_offsets=[32, 64], shape=[8])}),
    "a shape that overflows": _header({"a": _entry(shape=[1 << 62, 8])}),
    "a negative shape": _header({"a": _entry(shape=[-4, -4])}),
    "more bytes than the header says": _header({"a": _entry()}, bytes(100)),
    "another tensor": _header({"a": _entry()}),
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
}


def _safetensors(material: Material) -> Iterator[Case]:
    """In place of an encoder's weights, and of a head's whose export was sealed anew."""
    from mer.extract import TextEncoder

    for name, content in SAFETENSORS.items():
        put = _putting("model.safetensors", content)
        yield f"weights of an encoder, {name}", material.text, put, lambda to: str(TextEncoder(str(to)))
        yield f"weights of an export, {name}", material.exported, _sealed(put, {}), lambda to: _answer(material, to)


def _answer(material: Material, folder: Path) -> Any:
    from mer.predict import load

    recording = material.corpus.with_name("utt01.wav")
    found = load(folder, device="cpu").predict(recording, textgrid=recording.with_suffix(".TextGrid"))
    return [found.label, found.logits]


JSON: dict[str, dict[str, Any]] = {
    "classes that are none": {"classes": []},
    "a class twice": {"classes": ["joy", "joy"]},
    "one class too many": {"classes": ["a", "b", "c"]},
    "runs that are not there": {"runs": [["9", 9]]},
    "runs of other types": {"runs": [[[], {}]]},
    "a kind that nobody has": {"kind": "../finetuned"},
    "no parts": {"parts": []},
    "features of nobody": {"features": {"speech": None}},
    "a file outside": {"files_sha256": {"../../../../etc/hostname": "0" * 64}},
    "a number for a hash": {"files_sha256": {"model.safetensors": 1}},
}
PARTS: dict[str, dict[str, Any]] = {
    "a million attention layers": {"fusion": "transformer", "attention_layers": 10**6},
    "a width of 10**12": {"hidden": 10**12},
    "a width of 0": {"hidden": 0},
    "a width that is a text": {"hidden": "wide"},
    "a head that nobody has": {"fusion": "nothing"},
    "a module of no one": {"fusion": "no_such_module_of_mer:Head"},
    "layers that are not there": {"layers": [99]},
    "an option that nobody has": {"surprise": 1},
}
ENCODER: dict[str, dict[str, Any]] = {
    "a million layers": {"num_hidden_layers": 10**6},
    "a width of 10**9": {"hidden_size": 10**9},
    "a vocabulary of 10**12": {"vocab_size": 10**12},
    "heads that do not divide": {"num_attention_heads": 7},
    "code of its own": {"auto_map": {"AutoModel": "evil.Model"}, "model_type": "evil"},
}


def _json(material: Material) -> Iterator[Case]:
    """Configs of exports, sealed anew, and of encoders."""
    from mer.extract import TextEncoder

    for name, changes in JSON.items():
        yield f"config of an export, {name}", material.exported, _sealed(_nothing, changes), lambda to: _answer(material, to)
    for name, changes in PARTS.items():
        yield (
            f"config of an export, {name}",
            material.exported,
            _sealed(_nothing, changes, part=True),
            lambda to: _answer(material, to),
        )
    for name, changes in ENCODER.items():
        yield (
            f"config of an encoder, {name}",
            material.text,
            _changing("config.json", changes),
            lambda to: str(TextEncoder(str(to))),
        )


def _nothing(folder: Path) -> None:
    """Change no file."""


def _putting(name: str, content: bytes) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return put


def _changing(name: str, changes: dict[str, Any]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | changes))

    return change


def _sealed(change: Callable[[Path], None], changes: dict[str, Any], *, part: bool = False) -> Callable[[Path], None]:
    """Change an export, and make its hashes fit."""
    from mer.results.file_hashes import FILES, SEAL, seal

    def apply(folder: Path) -> None:
        change(folder)
        document = json.loads((folder / "config.json").read_text())
        document.pop(SEAL)
        document[FILES] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in document[FILES]}
        if part:
            document["parts"][0]["config"] |= changes
        else:
            document |= changes
        (folder / "config.json").write_text(json.dumps(seal(document)))

    return apply
