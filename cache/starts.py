"""Which processes extract into a cache, `starts/<number>.json` each: whoever looks can tell whether they have ended."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from mer.files import make_folder, write_file
from mer.files.processes import this_process

STARTS, PROCESS = "starts", "process"
"""The folder in that of a cache, and the key of the process in each file."""


@contextmanager
def start_noted(cache: Path, is_whole: Callable[[], bool]) -> Iterator[None]:
    """This process extracts in the block. A block that is interrupted or killed leaves its note, which says so.

    Args:
        cache: folder of the cache.
        is_whole: whether nothing is left to do at the end of the block: all notes go away then.

    Raises:
        WriteError: the file system refuses.
    """
    file = cache / STARTS / f"{uuid4().hex}.json"
    make_folder(file.parent)
    write_file(file, json.dumps({PROCESS: this_process()}).encode())
    yield
    with suppress(OSError):  # a note too many says nothing wrong of what is done
        if is_whole():
            shutil.rmtree(file.parent, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)
