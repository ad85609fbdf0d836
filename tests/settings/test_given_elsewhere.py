"""Values from the environment and the settings file: what an error about one says, and what `~` is in them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.commands.given_elsewhere import at_home


def said(words: list[str], **environment: str) -> str:
    """What a command says that is refused, on one line."""
    done = CliRunner().invoke(app, words, env={"COLUMNS": "300", **environment})
    assert done.exit_code == 2, done.output
    return " ".join(done.stderr.split())


def test_an_error_names_the_variable_or_the_file_that_gave_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = "/no/cache: no feature cache here; `mer extract` makes one"
    assert said(["train-head"], MER_CACHE="/no/cache").endswith(
        f"{error} --cache is /no/cache by the environment variable MER_CACHE"
    )
    (tmp_path / "mer.toml").write_text('cache = "/no/cache"\n')
    assert said(["train-head"]).endswith(f"{error} --cache is /no/cache by mer.toml")
    assert said(["train-head", "--cache", "/no/other"]).endswith("/no/other: no feature cache here; `mer extract` makes one")
    assert said(["train-head"], MER_DEVICE="gpu0", MER_CACHE="").endswith(
        "--device is gpu0 by the environment variable MER_DEVICE"
    )


@pytest.mark.parametrize("way", ["quoted", "variable", "file"])
def test_a_tilde_is_the_home_folder_wherever_no_shell_has_seen_it(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    if way == "file":
        (tmp_path / "mer.toml").write_text('cache = "~/features"\n')
    words = ["train-head", *(["--cache", "~/features"] if way == "quoted" else [])]
    variables = {"MER_CACHE": "~/features"} if way == "variable" else {}
    assert f"{tmp_path}/home/features: no feature cache here" in said(words, **variables)
    assert "~nobody-of-this-name/x: no feature cache here" in said(["train-head", "--cache", "~nobody-of-this-name/x"])


def test_a_tilde_is_read_before_a_name_and_where_a_text_may_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "encoder").mkdir()
    here = f"{tmp_path}/encoder"
    assert at_home(("~/encoder", Path("wavlm=~/encoder"))) == (here, Path(f"wavlm={here}"))
    for text in ("~/what a day", "a=~/nothing", "facebook/wav2vec2-base", "a=b", 3, None):
        assert at_home(text) == text
