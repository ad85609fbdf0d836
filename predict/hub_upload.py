"""An export onto the Hugging Face hub: checked before, in one commit, and never more public than was asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, hf_hub_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from mer.extract.unavailable import hub_answers
from mer.predict.errors import PredictError
from mer.predict.hub_download import CARD
from mer.predict.hub_errors import refused_upload
from mer.results.artefact import read_object
from mer.results.file_hashes import FILES, check_files
from mer.results.names import CONFIG
from mer.results.run_files import CURE, is_export, read_export, read_json

OF_THE_HUB = frozenset({".gitattributes"})
"""Files that the hub puts into a new repository by itself."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What is on the hub now."""

    origin: str
    """`OWNER/NAME@COMMIT`: `mer.predict.load` takes the first part, and the second as its revision."""
    url: str
    """Its page."""
    private: bool
    """Whether only its owners see it."""
    files: int
    """Files of the export."""


def push_to_hub(folder: Path | str, name: str, *, private: bool | None = None, message: str = "Upload from mer") -> Pushed:
    """Put an export onto the Hugging Face hub, as one commit; who asks is told by the token in HF_TOKEN or of `hf auth login`.

    Its files are compared with their hashes before anything is sent. The model card goes as it is, also where it was edited.

    Args:
        folder: what `export_run` or `mer export` wrote.
        name: `OWNER/NAME` of the repository; one that is there must be empty or hold an export, which is replaced.
        private: whether only the owners see it. None makes a new repository private, and leaves one that is there as it is.
        message: first line of the commit.

    Raises:
        PredictError: what is no export, no id, or has another visibility than asked; a repository that holds something else;
            no network, or what the hub refuses.
        ResultError: a file of the export that is missing or not what was written.
    """
    folder = Path(folder)
    names = _checked(folder)
    _check_name(name)
    if not hub_answers():
        raise PredictError(
            f"{name}: the Hugging Face hub cannot be reached (no network, or HF_HUB_OFFLINE is set); nothing was sent"
        )
    api = HfApi()
    there = _repository(api, name, private)
    stale = _earlier_files(there, name) - set(names)
    with refused_upload(name):
        done = api.create_commit(
            name,
            [
                *(CommitOperationAdd(path_in_repo=each, path_or_fileobj=folder / each) for each in names),
                *(CommitOperationDelete(path_in_repo=each) for each in sorted(stale)),
            ],
            commit_message=message,
            parent_commit=there.sha,  # what was looked at is what is replaced
        )
        now = api.model_info(name, revision=done.oid)
    if absent := set(names) - {each.rfilename for each in now.siblings or ()}:
        raise PredictError(
            f"{name}@{done.oid}: the hub left out {len(absent)} files, first {min(absent)}, as a .gitignore there may ask; "
            "remove that, and push again"
        )
    return Pushed(origin=f"{name}@{done.oid}", url=f"{api.endpoint}/{name}", private=bool(there.private), files=len(names))


def _checked(folder: Path) -> Sequence[str]:
    """The files of an export, which are all there and as they were written."""
    config: Mapping[str, Any] = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if not is_export(config):
        raise PredictError(f"{folder}: not an exported folder; `mer export RUN NEW_FOLDER` makes one of a trained run")
    hashes: Mapping[str, str] = read_export(folder).get(FILES, {})
    if not hashes:
        raise PredictError(f"{folder}: made before exports had hashes of their files; export it again")
    if not (folder / CARD).is_file():
        raise PredictError(
            f"{folder / CARD}: the model card is not there, and nobody should get a model without one; export it again"
        )
    check_files(folder, hashes, hashes, CURE)
    return [CONFIG, CARD, *hashes]


def _check_name(name: str) -> None:
    try:
        validate_repo_id(name)
    except HFValidationError as problem:
        raise PredictError(f"{name!r} is no name of a repository on the hub: expected OWNER/NAME ({problem})") from None
    if "/" not in name:
        raise PredictError(f"{name!r} names no owner: expected OWNER/NAME, where OWNER is you or your organisation on the hub")


def _repository(api: HfApi, name: str, private: bool | None) -> ModelInfo:
    """The repository as it is on the hub, made if it was not there; what it was asked to be is looked at, not believed."""
    with refused_upload(name):
        try:
            there = api.model_info(name)
        except RepositoryNotFoundError:
            private = private is not False
            api.create_repo(name, private=private)
            there = api.model_info(name)
    _refuse_other_visibility(there, name, private)
    return there


def _refuse_other_visibility(there: ModelInfo, name: str, private: bool | None) -> None:
    """A repository that is there stays as visible as it is, and one with more readers than asked gets nothing."""
    if private is not None and bool(there.private) is not private:
        now, asked = ("private", "public") if there.private else ("public", "private")
        raise PredictError(
            f"{name} is {now} on the hub, and {asked} was asked for; nothing was sent. Change it in the settings "
            "of its page, or give another name"
        )


def _earlier_files(there: ModelInfo, name: str) -> set[str]:
    """The files of the export that a repository holds, none where it is new; files that others put beside them stay."""
    files = {each.rfilename for each in there.siblings or ()} - OF_THE_HUB
    if not files:
        return set()
    config: Mapping[str, Any] = {}
    if CONFIG in files:
        with refused_upload(name):
            config = read_object(Path(hf_hub_download(name, CONFIG, revision=there.sha))) or {}
    if not is_export(config):
        raise PredictError(
            f"{name} holds something else on the hub ({len(files)} files, first {min(files)}) and would be mixed with it; "
            "nothing was sent. Give a new name"
        )
    return files & {str(each) for each in config.get(FILES, {})}
