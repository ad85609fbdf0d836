"""Every moment at which a commit can end, and what is on disk then."""

import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mer.cache import CacheError, CacheFolder, Units, UtteranceRecord, build_shard, open_cache, verify
from mer.files import Disk, WriteError, check_space, sweep_temporaries, write_atomically
from mer.files.processes import host

MakeCache = Callable[..., CacheFolder]
MakeUtterance = Callable[..., tuple[UtteranceRecord, dict[str, Units]]]
NAME = "session1-000"


class Crash(BaseException):
    """The process is gone: nothing after this runs, not even clean-up."""


class CountingDisk(Disk):
    """Counts the calls that change a disk, and ends or fails at one of them."""

    def __init__(self, stop_at: int = -1, error: type[BaseException] = Crash) -> None:
        self.calls: list[str] = []
        self.unsynced: set[int] = set()
        self._stop_at = stop_at
        self._error = error
        self._dead = False

    def _step(self, name: str) -> bool:
        if self._dead:
            raise Crash
        self.calls.append(name)
        if len(self.calls) - 1 != self._stop_at:
            return False
        self._dead = self._error is Crash
        return True

    def _end(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device") if self._error is OSError else self._error

    def open_new(self, path: Path) -> int:
        if self._step("open"):
            self._end()
        return super().open_new(path)

    def write(self, descriptor: int, block: memoryview) -> int:
        stop = self._step("write")
        self.unsynced.add(os.fstat(descriptor).st_ino)
        block = block[:1500]
        taken = super().write(descriptor, block[: len(block) // 2] if stop else block)
        if stop:
            self._end()
        return taken

    def fsync(self, descriptor: int) -> None:
        if self._step("fsync"):
            self._end()
        self.unsynced.discard(os.fstat(descriptor).st_ino)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        if self._step(f"replace {target.suffix}"):
            self._end()
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        if self._step(f"unlink {path.suffix}"):
            self._end()
        super().unlink(path)

    def fsync_folder(self, folder: Path) -> None:
        if self._step("fsync folder"):
            self._end()

    def cut_power(self, root: Path) -> None:
        """What was not synced is lost: half of every such file, under whatever name it has by now."""
        for path in root.rglob("*"):
            if path.is_file() and path.stat().st_ino in self.unsynced:
                os.truncate(path, path.stat().st_size // 2)


def committed_values(folder: CacheFolder) -> list[float]:
    """The values that a reader gets for the one utterance; empty when nothing is committed."""
    found = CacheFolder.find(folder.path)
    if not found.sidecars():
        assert found.torn == {}
        return []
    report = verify(found, full=True)
    assert report.findings == ()
    values: list[float] = open_cache(folder.path).read("a", "F").ravel().tolist()
    return values


@pytest.fixture
def contents(utterance: MakeUtterance) -> list[list[tuple[UtteranceRecord, dict[str, Units]]]]:
    return [[utterance("a", {"F": 2}, seed=seed, fingerprint=str(seed) * 64)] for seed in (1, 2)]


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("replacing", [False, True])
def test_a_commit_that_ends_anywhere_leaves_the_old_shard_the_new_or_none(
    empty_cache: MakeCache,
    contents: list[list[tuple[UtteranceRecord, dict[str, Units]]]],
    tmp_path: Path,
    replacing: bool,
    power_cut: bool,
) -> None:
    counting = CountingDisk()
    values = [content[0][1]["F"].data.ravel().tolist() for content in contents]
    states = []
    stop = 0
    while True:
        folder = empty_cache("F", root=tmp_path / str(stop))
        if replacing:
            folder.commit(NAME, build_shard(folder.spec, contents[0], []), {})
        folder.disk = counting = CountingDisk(stop)
        try:
            folder.commit(NAME, build_shard(folder.spec, contents[1], []), {})
        except Crash:
            pass
        else:
            break
        if power_cut:
            counting.cut_power(folder.path)
        found = committed_values(folder)
        assert found in ([], values[1], *([values[0]] if replacing else []))
        states.append(found)
        folder.disk = Disk()
        folder.commit(NAME, build_shard(folder.spec, contents[1], []), {})
        assert committed_values(folder) == values[1]
        stop += 1
    assert len(states) > 12
    assert {"open", "write", "fsync", "replace .h5", "replace .json", "fsync folder"} <= set(counting.calls)
    assert [] in states
    assert states[-1] == values[1]  # only the last folder sync was still missing


def test_the_old_sidecar_goes_first_and_the_new_one_comes_last(
    empty_cache: MakeCache, contents: list[list[tuple[UtteranceRecord, dict[str, Units]]]]
) -> None:
    folder = empty_cache("F")
    folder.commit(NAME, build_shard(folder.spec, contents[0], []), {})
    folder.disk = disk = CountingDisk()
    folder.commit(NAME, build_shard(folder.spec, contents[1], []), {})
    once = [call for call, before in zip(disk.calls, ["", *disk.calls], strict=False) if call != before]
    whole = ["open", "write", "fsync"]
    assert once == [
        *("unlink .json", "fsync folder"),
        *(*whole, "replace .h5", "fsync folder"),
        *(*whole, "replace .json", "fsync folder"),
    ]


def test_an_error_anywhere_leaves_no_unfinished_file(
    empty_cache: MakeCache, contents: list[list[tuple[UtteranceRecord, dict[str, Units]]]]
) -> None:
    folder = empty_cache("F")
    folder.disk = CountingDisk()
    folder.commit(NAME, build_shard(folder.spec, contents[0], []), {})
    messages = []
    for stop in range(400):
        folder.disk = CountingDisk(stop, OSError)
        try:
            folder.commit(NAME, build_shard(folder.spec, contents[1], []), {})
        except CacheError as error:
            messages.append(str(error))
        else:
            break
        assert list((folder.path / "tmp").iterdir()) == []
        committed_values(folder)
    assert len(messages) > 12
    assert [m for m in messages if "No space left on device" not in m or str(folder.path) not in m] == []


def test_ctrl_c_leaves_no_unfinished_file(
    empty_cache: MakeCache, contents: list[list[tuple[UtteranceRecord, dict[str, Units]]]]
) -> None:
    folder = empty_cache("F")
    folder.disk = CountingDisk(2, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        folder.commit(NAME, build_shard(folder.spec, contents[0], []), {})
    assert list((folder.path / "tmp").iterdir()) == []
    assert committed_values(folder) == []


def test_a_full_disk_at_sixty_sizes_is_an_error_and_nothing_more(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from mer.cache import CacheError, CacheFolder, Units, UtteranceRecord, build_shard, verify

        spec = {"format_version": 1, "corpus": {"name": "toy"}, "granularities": ["F"], "layers": {"speech": [1]},
                "dim": {"speech": 64}, "storage": {"dtype": "float16"}}
        folder = CacheFolder.create(Path(sys.argv[1]), spec)
        def shard(name):
            record = UtteranceRecord(id=name, label="a", speaker="1F", session="1", seconds=1.0, alignment="none",
                                     fingerprint="0" * 64)
            return build_shard(spec, [(record, {"F": Units(data=np.ones((500, 1, 64), np.float16))})], [])
        folder.commit("session1-000", shard("a"), {})
        size = shard("b").bytes
        refused = 0
        for step in range(60):
            resource.setrlimit(resource.RLIMIT_FSIZE, (step * size // 60, resource.RLIM_INFINITY))
            try:
                folder.commit("session1-001", shard("b"), {})
            except CacheError as error:
                refused += "could not be written" in str(error)
            assert not list((folder.path / "tmp").iterdir())
            assert not folder.shard_path("session1-001").exists()
            assert list(folder.sidecars()) == ["session1-000"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        folder.commit("session1-001", shard("b"), {})
        print(refused, verify(folder, full=True).ok)
        """
    )
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "60 True\n", "")


def test_two_writers_of_one_shard_leave_it_whole(tmp_path: Path, small_cache: CacheFolder) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import numpy as np
        from mer.cache import CacheFolder, Units, UtteranceRecord, build_shard

        folder = CacheFolder.find(Path(sys.argv[1]))
        record = UtteranceRecord(id="c", label="ang", speaker="2F", session="2", seconds=1.0, alignment="none",
                                 fingerprint="0" * 64)
        units = {
            "F": Units(data=np.ones((3, 2, 4), np.float16)),
            "S": Units(data=np.ones((1, 2, 4), np.float16), span=np.array([[0.0, 1.0]]), labels=("a",)),
            "T": Units(data=np.ones((2, 3, 5), np.float16)),
        }
        for _ in range(25):
            folder.commit("session2-000", build_shard(folder.spec, [(record, units)], []), {})
        """
    )
    command = [sys.executable, "-c", script, str(small_cache.path)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [writer.communicate(timeout=60)[1] for writer in writers] == ["", ""]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert verify(small_cache, full=True).findings == ()
    assert open_cache(small_cache.path).read("c", "F").tolist() == np.ones((3, 2, 4)).tolist()
    assert list((small_cache.path / "tmp").iterdir()) == []


@pytest.mark.parametrize("before", [None, b"new", b"old", b"newer"])
def test_a_rename_that_fails_is_none_when_the_content_is_there(tmp_path: Path, before: bytes | None) -> None:
    class Stubborn(Disk):
        """Like NFS, which may rename and then lose its answer, or Windows, where another writer of the same has the file."""

        def replace(self, source: Path, target: Path) -> None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    target = tmp_path / "shard"
    if before is not None:
        target.write_bytes(before)
    if before == b"new":
        write_atomically(target, [memoryview(b"new")], temporaries=tmp_path, disk=Stubborn())
    else:
        with pytest.raises(WriteError, match="could not be written"):
            write_atomically(target, [memoryview(b"new")], temporaries=tmp_path, disk=Stubborn())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before] * (before is not None)


def test_space_is_tried_by_writing_and_left_free(tmp_path: Path) -> None:
    disk = CountingDisk()
    check_space(tmp_path, 4_000, disk)
    assert disk.calls.count("write") == 3
    for stop in range(5):
        with pytest.raises(WriteError, match=r"still takes no 0 MB \(No space left on device\)"):
            check_space(tmp_path, 4_000, CountingDisk(stop, OSError))
    assert list(tmp_path.iterdir()) == []


def test_a_host_is_more_than_its_name_where_containers_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.files.processes.platform.node", lambda: "gpu 1~a")
    assert host().startswith("gpu_1_a")
    monkeypatch.setattr(Path, "readlink", lambda path: Path("pid:[17]"))
    assert host() == "gpu_1_a.17"
    monkeypatch.setattr(Path, "readlink", lambda path: Path("pid:[18]"))
    assert host() == "gpu_1_a.18"


def test_exclusive_writing_never_replaces(tmp_path: Path) -> None:
    target = tmp_path / "spec.json"
    write_atomically(target, [memoryview(b"first")], temporaries=tmp_path, disk=Disk(), exclusive=True)
    with pytest.raises(FileExistsError):
        write_atomically(target, [memoryview(b"second")], temporaries=tmp_path, disk=Disk(), exclusive=True)
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"]
    assert target.read_bytes() == b"first"


def test_exclusive_writing_works_without_hard_links(tmp_path: Path) -> None:
    class NoLinks(Disk):
        def link(self, source: Path, target: Path) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    target = tmp_path / "spec.json"
    write_atomically(target, [memoryview(b"first")], temporaries=tmp_path, disk=NoLinks(), exclusive=True)
    with pytest.raises(FileExistsError):
        write_atomically(target, [memoryview(b"second")], temporaries=tmp_path, disk=NoLinks(), exclusive=True)
    assert target.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"]


def test_sweeping_takes_old_and_orphaned_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.files.atomic_write.host", lambda: "here")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = {
        "orphan": f".session1-000.h5~here~{ended.pid}~aaaaaaaaaaaa",
        "running": f".session1-000.h5~here~{os.getpid()}~aaaaaaaaaaaa",
        "elsewhere": f".session1-000.h5~there~{ended.pid}~aaaaaaaaaaaa",
        "old": f".session1-000.h5~there~{os.getpid()}~bbbbbbbbbbbb",
        "foreign": "notes~of~12~may",
    }
    for name in names.values():
        (tmp_path / name).write_bytes(b"x")
    long_ago = time.time() - 25 * 3600
    os.utime(tmp_path / names["old"], (long_ago, long_ago))
    os.utime(tmp_path / names["foreign"], (long_ago, long_ago))
    assert sweep_temporaries(tmp_path, Disk()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        names["running"],
        names["elsewhere"],
        names["foreign"],
    }
    assert sweep_temporaries(tmp_path / "absent", Disk()) == 0
