"""What helps when the operating system refuses: one place for the advice, whoever ran into it."""

import errno

ADVICE = {
    errno.ENOSPC: "Free space or give a folder on another disk",
    getattr(errno, "EDQUOT", errno.ENOSPC): "Free space or give a folder on another disk: your quota is used up",
    errno.EFBIG: "Give a folder on a file system that takes larger files",
    errno.EROFS: "Give another folder: this file system can only be read",
    errno.EACCES: "Correct the permissions of the folder or give another one",
    errno.EPERM: "Correct the permissions of the folder or give another one",
    errno.EMFILE: "Raise the number of files that a process may open (`ulimit -n 4096`)",
    errno.ENFILE: "Close other programs: this machine has as many files open as it allows",
    errno.ENAMETOOLONG: "Give a folder with a shorter path",
}
"""Number of an error to what to do about it, as the beginning of a sentence."""
REFUSED = frozenset((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG, errno.EROFS))
"""Errors that say nothing of a file, only that a place takes nothing more."""
OF_THE_MACHINE = frozenset((errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM))
"""Errors on reading that say nothing of the file."""
GENERAL = "Free space or correct the folder's permissions"


def advice(problem: OSError) -> str:
    """What to do about an error of the operating system, where writing was refused."""
    return ADVICE.get(problem.errno or 0, GENERAL)


def cure(problem: BaseException, otherwise: str) -> str:
    """What to do about a file that cannot be read: what the error asks for, where it is no fault of the file."""
    number = problem.errno if isinstance(problem, OSError) else None
    return ADVICE[number] if number in OF_THE_MACHINE else otherwise


def explained(problem: OSError) -> str:
    """The error as one line with its path and what helps; as it is where it says so itself, or nothing is known to help."""
    found = ADVICE.get(problem.errno or 0)
    # An error of ours has no path of its own: its text says everything.
    if found is None or (problem.filename is None and type(problem).__module__.startswith("mer.")):
        return str(problem)
    where = "" if problem.filename is None else f"{problem.filename}: "
    return f"{where}{problem.strerror}. {found}, then give the same command again"
