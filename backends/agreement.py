"""Whether a worker's software is the launcher's: results of different versions must not meet in one folder."""

import platform
import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from mer.backends.work import BackendError


def versions(*packages: str) -> dict[str, str]:
    """Versions that can change a number in its last digits, of packages by name; by default of what trains a head."""
    import torch

    import mer

    found = {}
    for name in packages or ("python", "torch", "mer-fusion", "numpy"):
        try:
            # What torch says of itself has the build in it.
            known = {"python": platform.python_version(), "torch": str(torch.__version__), "mer": mer.__version__}
            found[name] = known.get(name) or version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def check_same(theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Compare versions on this host with those that the launcher sent along.

    Args:
        theirs: the launcher's versions by name: `{"mer": "0.3.0", "torch": "2.13.0"}`.
        ours: those of this host.

    Raises:
        BackendError: names every difference.
    """
    different = [
        f"{name} {ours.get(name, 'missing')} (the launcher has {theirs.get(name, 'none')})"
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    if different:
        raise BackendError(
            f"node {socket.gethostname()} has {', '.join(different)}: results would differ; install the same versions on "
            f"every node"
        )
