"""The folder of one cache: identity, committed shards, commits."""

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from mer.cache.cache_error import CacheError, refusals_named
from mer.cache.failed_shard import FailedShard, parse_failed_shard
from mer.cache.shard_image import BuiltShard
from mer.cache.sidecar import SHARD_NAME, Sidecar, parse_sidecar
from mer.cache.spec import KEY_FOLDER, Spec, cache_key, checked_spec
from mer.files import Disk, check_space, make_folder, sweep_temporaries, write_atomically
from mer.files.regular_file import read_file, read_text_file

_SETTLING_SECONDS = (0.1, 0.4, 1.5, 3.0)
"""Pauses until another machine's commit must be visible here: NFS clients keep what they know of a folder for seconds."""


class CacheFolder:
    """`<root>/<corpus>/<key12>/`, which holds one cache and is named by it."""

    def __init__(self, path: Path, spec: Spec, *, disk: Disk | None = None) -> None:
        """Use `create` or `find`, which check that folder and spec belong together."""
        self.path = path
        self.spec: dict[str, Any] = dict(spec)
        self.key = cache_key(spec)
        self.disk = disk or Disk()
        self.torn: dict[str, str] = {}
        """Sidecars that the last `sidecars()` could not accept, by shard name, with the reason."""

    @classmethod
    def create(cls, root: Path | str, spec: Spec, *, disk: Disk | None = None) -> "CacheFolder":
        """Make the folder of a spec, or open it when it is there already.

        Raises:
            CacheError: if the spec is malformed, the folder holds another spec, or it cannot be written.
        """
        spec = checked_spec(spec)
        path = Path(root) / spec["corpus"]["name"] / cache_key(spec)[:12]
        folder = cls(path, spec, disk=disk)
        try:
            for name in ("shards", "tmp"):
                make_folder(path / name)
        except OSError as error:
            raise CacheError(f"{path}: cannot make this folder ({error.strerror}); give another with `--cache`") from error
        text = json.dumps(spec, sort_keys=True, indent=1, allow_nan=False) + "\n"
        if not (path / "spec.json").exists():
            try:
                folder._write(path / "spec.json", text.encode("ascii"), exclusive=True)
            except FileExistsError:
                pass  # another run was first; whether it wrote the same is checked below
        found = _read_spec(path)
        if found != spec:
            raise CacheError(
                f"{path}/spec.json does not describe what this run would extract, though its folder's "
                "name says so; "
                "it was edited, or two specs share 12 digits: move the folder away, or give another "
                "with `--cache`"
            )
        return folder

    @classmethod
    def find(cls, path: Path | str, *, corpus: str | None = None) -> "CacheFolder":
        """Open a cache folder, or the only cache under a root.

        Args:
            path: `<root>/<corpus>/<key12>`, `<root>/<corpus>` or `<root>`.
            corpus: consider only caches of this corpus.

        Raises:
            CacheError: if there is none, or several to choose from.
        """
        found = candidates(Path(path))
        caches = [folder for folder in found if corpus is None or folder.resolve().parent.name == corpus]
        if not caches:
            of = f" of corpus {corpus!r}" if corpus else ""
            there = f"; there is {', '.join(str(folder) for folder in found)}" if found else ""
            raise CacheError(f"{path}: no feature cache{of} here{there}; `mer extract` makes one")
        if len(caches) > 1:
            lines = "\n".join(f"  {folder}  {_summary(folder)}" for folder in caches)
            raise CacheError(f"{path} holds {len(caches)} caches; pass the folder of the one to use:\n{lines}")
        return cls(caches[0], _read_spec(caches[0]))

    @classmethod
    def of(cls, place: "CacheFolder | Path | str") -> "CacheFolder":
        """A folder that is open, or the one to `find` at a path."""
        return place if isinstance(place, CacheFolder) else cls.find(place)

    @property
    def corpus(self) -> str:
        """Name of the corpus."""
        name: str = self.spec["corpus"]["name"]
        return name

    def shard_path(self, name: str) -> Path:
        """File of a shard."""
        return self.path / "shards" / f"{name}.h5"

    def sidecar_path(self, name: str) -> Path:
        """Sidecar of a shard."""
        return self.path / "shards" / f"{name}.json"

    def shard_files(self) -> list[str]:
        """Names of all shards that have a file, committed or not, sorted."""
        return self._names(".h5")

    def sidecars(self) -> dict[str, Sidecar]:
        """The committed shards by name, sorted; what cannot be accepted goes to `torn`."""
        found: dict[str, Sidecar] = {}
        self.torn = {}
        for name in self._names(".json"):
            try:
                found[name] = self.sidecar(name)
            except (CacheError, OSError, UnicodeDecodeError) as error:
                if _is_gone(error):
                    continue  # a writer is replacing this shard right now: not committed
                self.torn[name] = str(error)
        return found

    def committed(self, name: str) -> Sidecar | None:
        """One shard's sidecar if that is whole and the file beside it has the stated size; else None."""
        self._look_again()
        try:
            sidecar = self.sidecar(name)
            return sidecar if self.shard_path(name).stat().st_size == sidecar.bytes else None
        except (CacheError, OSError, UnicodeDecodeError):
            return None

    def shard_bytes(self, name: str) -> int:
        """Size of a shard's file; 0 when it is not visible here."""
        try:
            return self.shard_path(name).stat().st_size
        except OSError:
            return 0

    def wait_for(self, names: Collection[str], *, pause: Callable[[float], None] = time.sleep) -> set[str]:
        """Wait a few seconds, no longer, for commits of other machines to be visible here.

        Args:
            names: shards that somebody has said to be committed.
            pause: sleeps.

        Returns:
            Those that are still not there.
        """
        missing = {name for name in names if self.committed(name) is None}
        for seconds in _SETTLING_SECONDS:
            if not missing:
                break
            pause(seconds)
            missing = {name for name in missing if self.committed(name) is None}
        return missing

    def mark(self, name: str) -> str | None:
        """Sha256 of a shard's sidecar, to see later whether it was committed anew; None when there is none."""
        try:
            return hashlib.sha256(read_file(self.sidecar_path(name))).hexdigest()
        except OSError:
            return None

    def sidecar(self, name: str) -> Sidecar:
        """One shard's sidecar.

        Raises:
            CacheError: if it is damaged or foreign.
            OSError: if it is not there, or cannot be read.
            UnicodeDecodeError: if it is no text.
        """
        path = self.sidecar_path(name)
        sidecar = parse_sidecar(read_text_file(path), where=str(path))
        self._check_belongs(sidecar, name)
        return sidecar

    def sidecar_files(self) -> list[str]:
        """Names of all shards that have a sidecar, acceptable or not, sorted."""
        return self._names(".json")

    def commit(self, name: str, shard: BuiltShard, provenance: Mapping[str, Any]) -> Sidecar:
        """Write a shard and, last, its sidecar; until that is in place the shard does not count.

        Args:
            name: from the plan.
            shard: built for this cache.
            provenance: JSON object to keep with it: versions, host, times.

        Raises:
            CacheError: if the shard was built for another cache, or the file system refuses.
        """
        if not SHARD_NAME.fullmatch(name):
            raise CacheError(f"{name!r} is no shard name; take it from the plan (session1-000)")
        if shard.key != self.key:
            raise CacheError(f"shard {name} was built for cache {shard.key[:12]}, not for {self.path}")
        path = self.shard_path(name)
        self._remove(self.sidecar_path(name))
        with refusals_named():
            size, sha256 = write_atomically(path, shard.blocks(), temporaries=self.path / "tmp", disk=self.disk)
        sidecar = Sidecar(
            key=self.key,
            shard=name,
            bytes=size,
            sha256=sha256,
            utterances=shard.utterances,
            units=shard.units,
            failed=shard.failed,
            datasets=shard.datasets,
            provenance=provenance,
        )
        self._write(self.sidecar_path(name), sidecar.to_json().encode("ascii"))
        self.forget_failure(name)
        return sidecar

    def record_failure(self, failed: FailedShard) -> None:
        """Keep on disk that a shard could not be made.

        Raises:
            CacheError: if the file system refuses.
        """
        path = self.failure_path(failed.shard)
        try:
            make_folder(path.parent)
        except OSError as error:
            raise CacheError(f"{path.parent}: cannot make this folder ({error.strerror})") from error
        self._write(path, failed.to_json().encode("ascii"))

    def forget_failure(self, name: str) -> None:
        """Remove the record of a failure if there is one."""
        with contextlib.suppress(OSError):  # the shard is what counts
            if self.failure_path(name).exists():
                self.disk.unlink(self.failure_path(name))

    def failures(self) -> dict[str, FailedShard]:
        """The recorded failures by shard name, sorted; what cannot be read is left out."""
        found: dict[str, FailedShard] = {}
        for path in sorted((self.path / "failed").glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                failed = parse_failed_shard(read_text_file(path))
                if failed.shard == path.stem:
                    found[failed.shard] = failed
        return found

    def failure_path(self, name: str) -> Path:
        """Where the failure of a shard is recorded."""
        return self.path / "failed" / f"{name}.json"

    def sweep_temporaries(self) -> int:
        """Remove unfinished files of ended processes; how many there were."""
        return sweep_temporaries(self.path / "tmp", self.disk)

    def check_space(self, size: int) -> None:
        """Raise a CacheError unless the file system takes so many bytes now; for after one that it did not take."""
        with refusals_named():
            check_space(self.path / "tmp", size, self.disk)

    def _write(self, path: Path, content: bytes, *, exclusive: bool = False) -> None:
        blocks = [memoryview(content)]
        with refusals_named():
            write_atomically(path, blocks, temporaries=self.path / "tmp", disk=self.disk, exclusive=exclusive)

    def _remove(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            self.disk.unlink(path)
            self.disk.fsync_folder(path.parent)
        except OSError as error:
            raise CacheError(f"{path}: cannot be replaced ({error.strerror}); check the folder's permissions") from error

    def _names(self, suffix: str) -> list[str]:
        folder = self.path / "shards"
        if not folder.is_dir():
            return []
        names = (entry.name.removesuffix(suffix) for entry in os.scandir(folder) if entry.name.endswith(suffix))
        return sorted(name for name in names if SHARD_NAME.fullmatch(name))

    def _look_again(self) -> None:
        """Open the folder of the shards: an NFS client then asks the server whether anything in it has changed."""
        if os.name == "nt":  # folders cannot be opened there
            return
        with contextlib.suppress(OSError):
            os.close(os.open(self.path / "shards", os.O_RDONLY))

    def _check_belongs(self, sidecar: Sidecar, name: str) -> None:
        path = self.sidecar_path(name)
        if sidecar.key != self.key:
            raise CacheError(
                f"{path}: this shard belongs to cache {sidecar.key[:12]}, not to {self.key[:12]}; "
                "move it back, then `mer extract` makes the right one"
            )
        if sidecar.shard != name:
            raise CacheError(
                f"{path}: this shard was committed as {sidecar.shard}; rename it back, or delete it and re-run `mer extract`"
            )
        if list(sidecar.units) != self.spec["granularities"]:
            raise CacheError(f"{path}: granularities are not those of spec.json; delete it and re-run `mer extract`")


def _is_gone(error: Exception) -> bool:
    """Whether a file was removed or replaced just now; ESTALE is how NFS says so of an open one."""
    return isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ESTALE)


def candidates(path: Path) -> list[Path]:
    """Folders of caches at a place: a cache's own, or those below a root."""
    if (path / "spec.json").exists():
        return [path]
    if not path.is_dir():
        return []
    below = sorted(child for child in path.iterdir() if child.is_dir())
    folders = [*below, *(grandchild for child in below for grandchild in sorted(child.iterdir()))]
    return [folder for folder in folders if KEY_FOLDER.fullmatch(folder.name) and (folder / "spec.json").exists()]


def _read_spec(folder: Path) -> dict[str, Any]:
    path = folder / "spec.json"
    try:
        document = json.loads(read_text_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise CacheError(
            f"{path}: cannot be read as JSON ({error}); restore it, or `mer extract` into a new `--cache`"
        ) from error
    if not isinstance(document, dict):
        raise CacheError(f"{path}: not a JSON object; restore it, or `mer extract` into a new `--cache`")
    spec = checked_spec(document, where=str(path))
    if cache_key(spec)[:12] != folder.resolve().name:
        raise CacheError(
            f"{path}: its key is {cache_key(spec)[:12]} but the folder is named {folder.resolve().name}; "
            "the spec was edited or the folder renamed: undo that, or `mer extract` into a new `--cache`"
        )
    return spec


def _summary(folder: Path) -> str:
    try:
        spec = _read_spec(folder)
    except CacheError as error:
        return f"(unusable: {error})"
    models = [spec[name].get("model", name) for name in ("speech", "text") if isinstance(spec.get(name), dict)]
    return f"corpus {spec['corpus']['name']}, models {' + '.join(map(str, models)) or '-'}, {'+'.join(spec['granularities'])}"
