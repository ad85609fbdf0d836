"""What an extraction will take is told, and refused, before any weight is read."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import soundfile
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, ExtractError, Resources, extract
from mer.extract.forecast import check_forecasts, forecast
from mer.tests.extract.small_families import DIM, LAYERS

MB = 1_000_000


class Usage(NamedTuple):
    """What `shutil.disk_usage` gives."""

    free: int


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("mer.extract.families.checkpoint.load_weights", refuse)


@pytest.mark.usefixtures("no_weights")
def test_disk_is_that_of_every_frame_and_memory_that_of_weights_and_two_shards(
    make_manifest: Callable[..., Path], family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    manifest = make_manifest(5)
    config = ExtractConfig(speech_model=str(family_folder("wavlm")), granularities=("F",))
    found = forecast(open_corpus(manifest), config, tmp_path / "features", Resources(device="cpu", workers=3, shard_bytes=20_000))
    samples = [soundfile.info(each).frames for each in sorted(manifest.parent.glob("*.wav"))]
    frames = sum((count - 400) // 320 + 1 for count in samples)
    assert found.disk == found.disk_without_frames == frames * LAYERS * DIM * 2
    assert found.seconds == pytest.approx(sum(samples) / 16_000)
    size = sum(each.stat().st_size for each in family_folder("wavlm").glob("*.safetensors"))
    assert found.weights == pytest.approx(size, rel=0.1)  # the file has a header
    assert found.workers == min(3, -(-found.disk // 20_000)) == 3
    assert found.memory == 3 * (found.weights + 2 * 20_000)
    assert f"{found.disk / 1e6:.1f} MB on the disk" in str(found)
    half = forecast(open_corpus(manifest), ExtractConfig(**{**vars(config), "layers": (1,)}), tmp_path, Resources(device="cpu"))
    assert half.disk * LAYERS == found.disk


@pytest.mark.usefixtures("no_weights")
def test_a_disk_or_a_memory_that_is_too_small_is_refused_at_once_with_what_would_fit(
    make_manifest: Callable[..., Path],
    family_folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest, speech = make_manifest(4), str(family_folder("wavlm"))
    words = ["extract", "--corpus", str(manifest), "--cache", str(tmp_path / "features"), "--granularity", "F+P"]
    monkeypatch.setattr("mer.extract.forecast.shutil.disk_usage", lambda _: Usage(1000))
    for encoders in ([speech], [f"a={speech}", f"b={family_folder('hubert')}"]):
        options = [word for each in encoders for word in ("--speech-model", each)]
        done = CliRunner().invoke(app, [*words, *options], env={"COLUMNS": "500"})
        assert done.exit_code == 2
        assert (
            "will be written, the disk has 0.0 MB free. Give --cache on a larger disk, fewer --layers, or leave F out"
            in done.stderr
        )
        assert done.stderr.count("planned: about") == len(encoders)
    assert not (tmp_path / "features").exists()
    monkeypatch.undo()
    config = ExtractConfig(speech_model=speech, granularities=("F",))
    planned = forecast(open_corpus(manifest), config, tmp_path, Resources(device="cpu", workers=4, shard_bytes=10_000))
    monkeypatch.setattr("mer.extract.forecast.free_bytes", lambda _: planned.memory // 2)
    with pytest.raises(ExtractError, match=rf"{planned.workers} processes take .* `--workers {planned.workers // 2}` fits"):
        check_forecasts([planned], tmp_path)


def test_of_what_is_there_only_the_sessions_count_that_are_asked_for(
    make_manifest: Callable[..., Path], family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    config = ExtractConfig(speech_model=str(family_folder("wavlm")), granularities=("F",))
    corpus, cache, resources = make_manifest(6), tmp_path / "features", Resources(device="cpu", workers=1)
    extract(open_corpus(corpus), config, cache, resources=resources)
    sizes = {name: sum(each.stat().st_size for each in cache.glob(f"**/session{name}-*.h5")) for name in "123"}
    assert min(sizes.values()) > 0
    assert forecast(open_corpus(corpus), config, cache, resources).there == sum(sizes.values())
    assert forecast(open_corpus(corpus, sessions=["2"]), config, cache, resources).there == sizes["2"]
