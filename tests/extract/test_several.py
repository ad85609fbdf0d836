"""Several encoders: how they are called, and which cache each of them has."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.extract import ExtractConfig, ExtractError
from mer.extract.several import configs_of, named_models, with_revisions


def test_encoders_are_called_as_given_or_like_the_last_part_of_their_path(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    given = ["big=microsoft/wavlm-large", "openai/Whisper-small", f"{tmp_path}/a=b"]
    assert list(named_models(given, "--speech-model")) == ["big", "whisper-small", "a-b"]
    with pytest.raises(ExtractError, match=r"x/wavlm and y/WavLM are both called wavlm; .* --speech-model wavlm2=y/WavLM"):
        named_models(["x/wavlm", "y/WavLM"], "--speech-model")
    with pytest.raises(ExtractError, match="no encoder after the name"):
        named_models(["wavlm="], "--speech-model")


def test_the_first_encoders_share_a_cache_as_they_do_alone_and_every_other_one_has_its_own() -> None:
    config = ExtractConfig(granularities=("F", "S", "T"), speech_model="a", text_model="t", storage="float32")
    members = configs_of(config, {"one": "a", "two": "b"}, {"words": "t", "more": "u"})
    assert members[0].config == config
    assert [dict(each.names) for each in members] == [{"speech": "one", "text": "words"}, {"speech": "two"}, {"text": "more"}]
    assert [each.config.granularities for each in members] == [("F", "S", "T"), ("F", "S"), ("T",)]
    assert {each.config.storage for each in members} == {"float32"}
    revised = with_revisions(members, {"two": "main", "words": "v1"})
    assert [each.config.speech_revision for each in revised] == [None, "main", None]
    assert [each.config.text_revision for each in revised] == ["v1", None, None]
    with pytest.raises(ExtractError, match="the encoders are called one, two, words, more"):
        with_revisions(members, {"speech": "main"})
    assert (
        with_revisions(configs_of(config, {"one": "a"}, {"t": "t", "u": "u"}), {"speech": "v"})[0].config.speech_revision == "v"
    )


def test_several_encoders_of_which_nothing_is_wanted_are_refused() -> None:
    config = ExtractConfig(granularities=("T",))
    with pytest.raises(ExtractError, match="--speech-model is given 2 times, and granularity T needs no speech encoder"):
        configs_of(config, {"one": "a", "two": "b"}, {"t": "t"})


def test_encoders_come_from_the_environment_and_the_settings_file_too(
    make_manifest: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no encoder").mkdir()
    words = ["extract", "--corpus", str(make_manifest(1)), "--granularity", "F"]
    several = f"one=no encoder{os.pathsep}two={tmp_path}/two"
    for variable, settings in (
        (several, ""),
        ("no encoder", ""),
        ("", 'speech-model = "no encoder"'),
        ("", 'speech-model = ["no encoder"]'),
    ):
        (tmp_path / "mer.toml").write_text(settings)
        done = CliRunner().invoke(app, words, env={"MER_SPEECH_MODEL": variable, "COLUMNS": "300"})
        assert done.exit_code == 2
        assert "--speech-model no encoder: this folder holds no loadable encoder" in done.stderr, (variable, settings)
