import sys
import tempfile
from pathlib import Path

import espeakng_loader
import pytest

from mer.corpus import CorpusError
from mer.corpus.espeak_library import load_espeak


def test_every_engine_is_its_own_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one, other = load_espeak(espeakng_loader), load_espeak(espeakng_loader)
    assert one.functions._handle != other.functions._handle
    assert one.sample_rate > 0
    assert one.version.startswith("1.")
    assert sys.platform == "win32" or list(tmp_path.iterdir()) == []


def test_an_engine_without_its_data_says_what_to_install_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match=r"espeak-ng did not start .*nowhere.*pip install --force-reinstall"):
        load_espeak(espeakng_loader)
