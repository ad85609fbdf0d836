"""An export on the Hugging Face hub: what gets there, what comes back, and what is refused on either way."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelCard, constants, snapshot_download
from transformers import AutoConfig
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.predict import PredictError, Prediction, export_run, from_pretrained, load, push_to_hub
from mer.predict.hub_download import hub_id
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, seal
from mer.tests.predict.stub_hub import StubHub, running

NAME = "somebody/some-head"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubHub]:
    """A hub without models, and a store without downloads."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    with running() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "store"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("mer.extract.unavailable._SAID_OFFLINE", False)
        yield found


@pytest.fixture(scope="module")
def exports(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports that are read only."""
    folder = tmp_path_factory.mktemp("exports")
    encoders: dict[str, Any] = {"speech_model": trained.speech, "text_model": trained.text}
    found = {"late": export_run(trained.runs["late"], folder / "late", seeds=(0,), **encoders).folder}
    found["finetuned"] = export_run(trained.runs["finetuned"], folder / "finetuned").folder
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def publish(hub: StubHub, folder: Path, name: str = NAME, **changed: bytes) -> str:
    """Puts a folder there without `push_to_hub`; the commit."""
    return hub.make(name, files=files_of(folder) | {key.replace("__", "."): value for key, value in changed.items()}).newest


@pytest.mark.parametrize("name", ["late", "finetuned"])
def test_what_was_pushed_answers_from_the_hub_as_its_folder_does_to_the_bit(
    name: str, hub: StubHub, exports: dict[str, Path], trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = push_to_hub(exports[name], NAME)
    assert pushed.private
    assert hub.models[NAME].private
    there = hub.models[NAME].at("main")[1]
    assert {each for each in there if each != ".gitattributes"} == set(files_of(exports[name]))
    assert pushed.files == len(there) - 1
    assert pushed.origin == f"{NAME}@{hub.models[NAME].newest}"
    utterances = list(open_corpus(trained.corpus))[3:5]
    here, away = load(exports[name], device="cpu"), from_pretrained(NAME, device="cpu")
    expected, found = here.predict_many(utterances), away.predict_many(utterances)
    assert all(isinstance(each, Prediction) for each in found)
    assert found == expected
    assert (here.origin, away.origin) == (str(exports[name]), pushed.origin)
    assert files_of(away.folder) == files_of(exports[name])

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert load(NAME, device="cpu").predict_many(utterances) == expected  # from the store


def test_a_revision_is_what_it_was_then_and_main_what_it_is_now(
    hub: StubHub, exports: dict[str, Path], trained: Any, tmp_path: Path
) -> None:
    first = publish(hub, exports["late"])
    fewer = export_run(exports["late"], tmp_path / "fewer", folds=("2",)).folder
    assert push_to_hub(fewer, NAME).origin != f"{NAME}@{first}"
    assert not hub.models[NAME].private  # as it was
    now, then = load(NAME, device="cpu"), load(NAME, revision=first, device="cpu")
    assert now.runs == ("fold2-seed0",)
    assert len(then.runs) == 3
    assert then.origin == f"{NAME}@{first}"
    again = export_run(NAME, tmp_path / "again", revision=first)
    assert len(again.runs) == 3


def test_only_files_of_the_export_and_of_the_wanted_models_are_downloaded(hub: StubHub, exports: dict[str, Path]) -> None:
    files = files_of(exports["finetuned"])
    config = json.loads(files.pop("config.json"))
    odd = {"fold1-seed0/odd[1]*.txt": b"odd", "code.py": b"raise SystemExit", "fold1-seed0/odd1x.txt": b"not named"}
    digest = "5a6b4c8e2f8a3c0b2f0fbd8f3d0a6cbb1c8f1f7c6ce43b9f4a1f2f5b4c3d2e1f"
    config[FILES]["fold1-seed0/odd[1]*.txt"] = digest
    hub.make(NAME, files={**files, **odd, "config.json": json.dumps(seal(config)).encode()})
    with pytest.raises(ResultError, match=rf"{NAME}@[0-9a-f]{{40}}: .*odd\[1\]\*.txt: damaged or not its own"):
        load(NAME, folds=("1",), device="cpu")
    (folder,) = Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*")
    there = set(files_of(folder))
    assert "fold1-seed0/odd[1]*.txt" in there
    assert not {"code.py", "fold1-seed0/odd1x.txt", ".gitattributes"} & there
    assert {each.partition("/")[0] for each in there} == {"config.json", "README.md", "fold1-seed0"}
    with pytest.raises(PredictError, match=rf"{NAME}@[0-9a-f]{{40}}: no fold 9; it has 1, 3"):
        load(NAME, folds=("9",))


@pytest.mark.parametrize(
    ("file", "cause"),
    [
        ("model.safetensors", "damaged or not its own"),
        ("text/tokenizer.json", "damaged or not its own"),
        ("config.json", "its own sha256"),
    ],
)
def test_what_was_tampered_with_on_the_hub_is_refused(
    file: str, cause: str, hub: StubHub, exports: dict[str, Path], tmp_path: Path
) -> None:
    files = files_of(exports["late"])
    changed = bytearray(files[file])
    place = changed.index(b'"angry"') + 1 if file == "config.json" else len(changed) // 2
    changed[place] ^= 1
    commit = hub.make(NAME, files=files | {file: bytes(changed)}).newest
    cure = re.escape(f"remove {tmp_path / 'store' / 'models--somebody--some-head'} and give the command again")
    with pytest.raises(ResultError, match=f"^{NAME}@{commit}: .*{cause}.*{cure}"):
        load(NAME, device="cpu")
    # Mended and downloaded anew, it answers.
    shutil.rmtree(tmp_path / "store")
    publish(hub, exports["late"])
    assert load(NAME, device="cpu").runs


def test_what_is_no_export_is_not_downloaded(hub: StubHub, exports: dict[str, Path], tmp_path: Path) -> None:
    hub.make("people/bert", files={"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": b"weights"})
    with pytest.raises(
        PredictError, match=r"people/bert@\w{40}: no export of mer, but a model of type 'bert'; give the OWNER/NAME"
    ):
        load("people/bert")
    hub.make("people/none", files={"weights.bin": b"weights"})
    with pytest.raises(PredictError, match=r"people/none: no export of mer: this model has no config\.json"):
        load("people/none")
    config = json.loads((exports["late"] / "config.json").read_bytes())
    del config[FILES], config["self_sha256"]
    publish(hub, exports["late"], config__json=json.dumps(config).encode())
    with pytest.raises(PredictError, match="made before exports had hashes of their files"):
        load(NAME)
    assert not [each for each in hub.asked if re.search(r"weights|\.bin|safetensors|tree", each)]


def test_what_the_hub_does_not_give_is_one_sentence(
    hub: StubHub, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "A gated or private one asks for its terms to be accepted on its page, and for your token in HF_TOKEN"
    with pytest.raises(
        PredictError, match=rf"^no/such: no such folder here, and the Hugging Face hub has no such model.*{token}"
    ):
        load("no/such")
    publish(hub, exports["late"])
    with pytest.raises(PredictError, match=f"^{NAME}: the Hugging Face hub has no revision 'v9' of it"):
        load(NAME, revision="v9")
    hub.models[NAME].gated = True
    with pytest.raises(PredictError, match=f"^{NAME}: the Hugging Face hub does not give it to everybody. {token}"):
        load(NAME)
    asked = len(hub.asked)
    monkeypatch.setattr("mer.extract.unavailable._SAID_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        PredictError, match=f"^{NAME}: no such folder here, the Hugging Face hub cannot be reached, and this was not"
    ):
        load(NAME)
    with pytest.raises(PredictError, match=f"^{NAME}: the Hugging Face hub cannot be reached .*; nothing was sent"):
        push_to_hub(exports["late"], NAME)
    assert len(hub.asked) == asked


def test_a_folder_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert hub_id("owner/name") == hub_id(Path("owner/name")) == "owner/name"
    for other in ("runs/new", "runs", "name", "a/b/c", "./owner/name", "../name", "/owner", "owner/a b", "~/name", ""):
        assert hub_id(other) is None, other
    with pytest.raises(PredictError, match=r"runs/new: no such folder; give a run directory.*OWNER/NAME of an export on the"):
        load("runs/new")
    with pytest.raises(
        PredictError, match=r"runs/new: only what is on the Hugging Face hub has a revision.*leave revision 'v1' out"
    ):
        load("runs/new", revision="v1")


def test_nothing_becomes_more_public_than_asked(hub: StubHub, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def commits() -> int:
        return sum(len(each.commits) for each in hub.models.values())

    hub.make("me/public", private=False)
    hub.make("me/private", private=True)
    before = commits()
    with pytest.raises(PredictError, match="me/public is public on the hub, and private was asked for; nothing was sent"):
        push_to_hub(exports["late"], "me/public", private=True)
    with pytest.raises(PredictError, match="me/private is private on the hub, and public was asked for; nothing was sent"):
        push_to_hub(exports["late"], "me/private", private=False)
    make = hub.make
    monkeypatch.setattr(hub, "make", lambda name, *, private: make(name, private=False))  # a hub that does otherwise
    with pytest.raises(PredictError, match="me/new is public on the hub, and private was asked for; nothing was sent"):
        push_to_hub(exports["late"], "me/new")
    assert commits() == before + 1  # the empty repository
    monkeypatch.undo()


def test_a_push_replaces_an_export_and_leaves_what_others_put_beside_it(
    hub: StubHub, exports: dict[str, Path], tmp_path: Path
) -> None:
    publish(hub, exports["finetuned"], notes__txt=b"mine")
    copy = Path(shutil.copytree(exports["late"], tmp_path / "copy"))
    (copy / "README.md").write_text((copy / "README.md").read_text() + "\nMade by me.\n")
    (copy / "private.txt").write_text("not of the export")
    push_to_hub(copy, NAME, message="Another head")
    now = hub.models[NAME].at("main")[1]
    expected = files_of(exports["late"]) | {"README.md": (copy / "README.md").read_bytes()}
    assert now == {**expected, "notes.txt": b"mine", ".gitattributes": now[".gitattributes"]}
    assert hub.models[NAME].headers[-1]["summary"] == "Another head"

    absent = files_of(exports["finetuned"])
    del absent["fold1-seed0/config.json"]  # what is named and not there cannot be removed
    hub.make("me/absent", files=absent)
    push_to_hub(exports["late"], "me/absent")
    assert set(hub.models["me/absent"].at("main")[1]) == {*expected, ".gitattributes"}

    hub.make("me/bert", files={"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"})
    with pytest.raises(PredictError, match=r"me/bert holds something else on the hub \(2 files, first config\.json\)"):
        push_to_hub(exports["late"], "me/bert")
    hub.make("me/ignoring", files={".gitignore": b"model.safetensors"})
    with pytest.raises(PredictError, match=r"me/ignoring holds something else on the hub \(1 files, first \.gitignore\)"):
        push_to_hub(exports["late"], "me/ignoring")
    publish(hub, exports["finetuned"], __gitignore=b"model.safetensors")
    with pytest.raises(PredictError, match=r"the hub left out 1 files, first model\.safetensors, as a \.gitignore there may ask"):
        push_to_hub(copy, NAME)


def test_a_push_of_what_cannot_be_loaded_later_is_refused_before_anything_is_sent(
    hub: StubHub, exports: dict[str, Path], trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PredictError, match="not an exported folder; `mer export RUN NEW_FOLDER` makes one"):
        push_to_hub(trained.runs["late"], NAME)
    copy = Path(shutil.copytree(exports["late"], tmp_path / "copy"))
    image = (copy / "text" / "tokenizer.json").read_bytes()
    (copy / "text" / "tokenizer.json").write_bytes(image + b" ")
    with pytest.raises(ResultError, match=r"text/tokenizer\.json: damaged or not its own"):
        push_to_hub(copy, NAME)
    (copy / "text" / "tokenizer.json").write_bytes(image)
    (copy / "README.md").unlink()
    with pytest.raises(PredictError, match="the model card is not there, and nobody should get a model without one"):
        push_to_hub(copy, NAME)
    for name, said in (("alone", "'alone' names no owner"), ("a/b/c", "'a/b/c' is no name of a repository on the hub")):
        with pytest.raises(PredictError, match=said):
            push_to_hub(exports["late"], name)
    assert hub.asked == []
    monkeypatch.setenv("HF_TOKEN", "of-a-guest")
    with pytest.raises(
        PredictError, match=f"^{NAME}: the Hugging Face hub did not take it: .*403.* It wants a token that may write"
    ):
        push_to_hub(exports["late"], NAME)
    assert hub.models == {}


@pytest.mark.parametrize("name", ["late", "finetuned"])
def test_transformers_says_what_to_install_instead_of_unrecognized(name: str, exports: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"model type `mer-export \(load it with mer\.predict: pip install mer-fusion\)` but"):
        AutoConfig.from_pretrained(exports[name])


def test_the_commands_push_and_predict_by_name(
    hub: StubHub, exports: dict[str, Path], trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*given: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, list(given))
        assert result.exit_code == code, result.output
        return result

    made = run(
        "export",
        str(exports["late"]),
        "new",
        "--fold",
        "1",
        "--license",
        "mit",
        "--push",
        NAME,
        "--visibility",
        "public",
        "--json",
    )
    told = json.loads(made.stdout)
    commit = hub.models[NAME].newest
    assert told["pushed"] == {
        "origin": f"{NAME}@{commit}", "url": f"{hub.endpoint}/{NAME}", "private": False, "files": len(files_of(Path("new"))),
    }  # fmt: skip
    assert ModelCard.load(Path("new/README.md")).data.to_dict()["license"] == "mit"
    wav = str(trained.corpus.parent / "u1.wav")
    asked = ["--wav", wav, "--text", "leave me alone", "--alignment", "none", "--device", "cpu"]
    answer = run("predict", NAME, "--revision", commit, *asked, "--json")
    here = json.loads(run("predict", "new", *asked, "--json").stdout)
    assert json.loads(answer.stdout) == here | {"run": f"{NAME}@{commit}"}
    assert f"{NAME}@{commit} of the Hugging Face hub answers" in answer.stderr
    again = run("export", "new", "--push", NAME)
    assert "public. Next: mer predict" in " ".join(again.stdout.split())
    assert "give a new folder" in run("export", "new", code=2).output
    assert "--license is for a new export" in " ".join(
        run("export", "new", "--push", NAME, "--license", "mit", code=2).output.split()
    )
    assert "give --push" in run("export", "new", "newer", "--visibility", "public", code=2).output
    assert "licence 'My Own': expected an identifier" in run("export", "new", "newer", "--license", "My Own", code=2).output


def test_who_publishes_meanwhile_gets_in_nobodys_way(
    hub: StubHub, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are of the commit that the config is of, and nothing is replaced that was not looked at."""
    first = publish(hub, exports["late"])

    def meanwhile(original: Callable[..., Any]) -> Callable[..., Any]:
        def act(*given: Any, **named: Any) -> Any:
            hub.models[NAME].commit(files_of(exports["finetuned"]))
            return original(*given, **named)

        return act

    with monkeypatch.context() as patch:
        patch.setattr("mer.predict.hub_download.snapshot_download", meanwhile(snapshot_download))
        found = load(NAME, device="cpu")
    assert found.origin == f"{NAME}@{first}"
    assert files_of(found.folder) == files_of(exports["late"])
    with monkeypatch.context() as patch:
        patch.setattr(HfApi, "create_commit", meanwhile(HfApi.create_commit))
        with pytest.raises(PredictError, match=f"^{NAME}: the Hugging Face hub did not take it: .*412"):
            push_to_hub(exports["late"], NAME)
    assert set(hub.models[NAME].at("main")[1]) == set(files_of(exports["finetuned"]))
