"""What is said where the Hugging Face hub does not give or take what it was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mer.extract.unavailable import token_advice
from mer.predict.errors import PredictError


@contextmanager
def refused_download(name: str, revision: str | None) -> Iterator[None]:
    """Turn what the hub's library runs into while it downloads into one sentence.

    Args:
        name: `OWNER/NAME`.
        revision: that was asked for, if one was.

    Raises:
        PredictError: whatever it was, but a disk that is full or may not be written.
    """
    try:
        yield
    except Exception as problem:  # of whichever network library the hub's library uses
        _pass_on(problem)
        raise PredictError(f"{name}: {_not_given(problem, revision)}") from problem


@contextmanager
def refused_upload(name: str) -> Iterator[None]:
    """The same of an upload; raises PredictError likewise."""
    try:
        yield
    except Exception as problem:  # of whichever network library the hub's library uses
        _pass_on(problem)
        closed = isinstance(problem, HfHubHTTPError) and problem.response.status_code in (401, 403)
        token = (
            f" It wants a token that may write to {name}: put it into HF_TOKEN, or give it to `hf auth login`." if closed else ""
        )
        raise PredictError(f"{name}: the Hugging Face hub did not take it: {_first_line(problem)}.{token}") from problem


def _not_given(problem: Exception, revision: str | None) -> str:
    """The narrowest class first: they are each other's."""
    if isinstance(problem, GatedRepoError):
        return f"the Hugging Face hub does not give it to everybody.{token_advice(problem)}"
    if isinstance(problem, RevisionNotFoundError):
        return f"the Hugging Face hub has no revision {revision!r} of it; give a branch, tag or commit that its page lists"
    if isinstance(problem, RepositoryNotFoundError):
        return (
            "no such folder here, and the Hugging Face hub has no such model, or does not show it to you; look at the "
            f"spelling.{token_advice(problem)}"
        )
    if isinstance(problem, LocalEntryNotFoundError):
        return (
            "no such folder here, the Hugging Face hub cannot be reached, and this was not downloaded before; look at the "
            "spelling, or give the command once with network"
        )
    if isinstance(problem, EntryNotFoundError):
        return "no export of mer: this model has no config.json; give the OWNER/NAME of what `mer export` made"
    return f"the Hugging Face hub did not give it: {_first_line(problem)}.{token_advice(problem)}"


def _pass_on(problem: Exception) -> None:
    """What the operating system refuses has words of its own, a full disk above all."""
    if isinstance(problem, OSError) and problem.errno is not None:
        raise problem


def _first_line(problem: Exception) -> str:
    return str(problem).strip().split("\n")[0].rstrip(".") or type(problem).__name__
