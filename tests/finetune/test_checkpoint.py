import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mer.finetune.checkpoint as module
from mer.files.folders import HIDDEN
from mer.finetune.checkpoint import Checkpoint, CheckpointFolder, RunPosition
from mer.finetune.errors import FinetuneError
from mer.finetune.losses import Sums
from mer.finetune.trained import FinetuneEpoch
from mer.results.file_hashes import seal

RUN: dict[str, Any] = {"config": {"batch": 32, "rates": (1e-3, 0.1)}, "seed": 0, "encoders": {"speech": {"weights": "ab"}}}
BEST = {"a.b": torch.ones(1)}
EPOCH = FinetuneEpoch(
    epoch=1,
    train_loss=0.1 + 0.2,
    main_loss=1 / 3,
    aux1_loss=None,
    aux2_loss=2e-308,
    lonely_share=0.0,
    unchanged_share=0.25,
    same_class_share=0.5,
    validation_loss=1e300,
    validation_ua=0.25,
    validation_wa=0.5,
    seconds=1.5,
)


def checkpoint(step: int = 1, selected: dict[str, Tensor] | None = None) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    return Checkpoint(
        progress=RunPosition(
            epoch=2, step=step, sums=Sums(utterances=3, main=0.1 * step), epochs=(EPOCH,), best_epoch=1, lowest=0.7
        ),
        model={"a.b": torch.randn(3, 4, generator=generator), "count": torch.tensor(step)},
        optimizer={"exp_avg.a.b": torch.randn(3, 4, generator=generator, dtype=torch.float64)},
        selected=selected or {},
    )


def assert_same(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert found.progress == expected.progress
    for part in ("model", "optimizer", "selected"):
        mine, other = getattr(found, part), getattr(expected, part)
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) and mine[name].dtype == other[name].dtype for name in other)


def fail(path: Path, reason: str) -> None:
    pytest.fail(f"{path} was skipped: {reason}")


@pytest.mark.parametrize("selected", [{}, {"a.b": torch.ones(2, dtype=torch.bfloat16)}])
def test_what_is_read_is_what_was_written(selected: dict[str, Tensor], tmp_path: Path) -> None:
    written = checkpoint(selected=selected)
    path = CheckpointFolder(tmp_path, RUN, 1).write(written, 7)
    assert path == tmp_path / "checkpoints" / "step-000007"
    assert_same(CheckpointFolder(tmp_path, RUN, 1).newest(fail), written)


def test_there_is_none_before_one_is_written(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path, RUN, 1).newest(fail) is None


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_few_stay_and_the_newest_is_read(keep: int, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, RUN, keep)
    numbers = [8, 9, 10, 999_999, 1_000_000]
    for number in numbers:
        folder.write(checkpoint(number), number)
    assert {path.name for path in folder.path.iterdir()} == {f"step-{number:06d}" for number in numbers[-keep:]}
    assert_same(folder.newest(fail), checkpoint(1_000_000))


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def alter(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("model.safetensors", truncate, r"model\.safetensors has \d+ bytes of \d+"),
        ("optimizer.safetensors", alter, r"optimizer\.safetensors is not what was written"),
        ("selected.safetensors", Path.unlink, r"selected\.safetensors is missing"),
        ("state.json", truncate, None),
        ("state.json", Path.unlink, r"no readable state\.json"),
        ("state.json", lambda file: file.write_text("[]"), r"no readable state\.json"),
        ("state.json", lambda file: os.truncate(file, 40), r"no readable state\.json"),
        (
            "state.json",
            lambda file: file.write_text(file.read_text().replace('"step": ', '"step": 1')),
            r"is not what was written",
        ),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    name: str, damage: Any, reason: str | None, tmp_path: Path
) -> None:
    folder = CheckpointFolder(tmp_path, RUN, 2)
    folder.write(checkpoint(1, BEST), 1)
    damaged = folder.write(checkpoint(2, BEST), 2)
    damage(damaged / name)
    skipped: list[tuple[Path, str]] = []
    found = folder.newest(lambda path, why: skipped.append((path, why)))
    if reason is None:  # only the last line break is gone
        assert_same(found, checkpoint(2, BEST))
        return
    assert_same(found, checkpoint(1, BEST))
    assert [path for path, _ in skipped] == [damaged]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(skipped[0][1])
    folder.write(checkpoint(2), 2)
    assert_same(folder.newest(fail), checkpoint(2))


def test_when_all_are_damaged_there_is_none(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, RUN, 1)
    truncate(folder.write(checkpoint(), 1) / "model.safetensors")
    skipped: list[str] = []
    assert folder.newest(lambda path, why: skipped.append(path.name)) is None
    assert skipped == ["step-000001"]


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (RUN | {"config": RUN["config"] | {"batch": 16}}, r"of another run: batch 32 there, 16 here; give the settings"),
        (RUN | {"seed": 1}, "of another run: seed 0 there, 1 here; "),
        (RUN | {"encoders": {"speech": {"weights": "cd"}}}, "of another run: weights 'ab' there, 'cd' here; "),
        (RUN | {"new": 1}, "of another run: new None there, 1 here; "),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(other: dict[str, Any], difference: str, tmp_path: Path) -> None:
    CheckpointFolder(tmp_path, RUN, 1).write(checkpoint(), 1)
    with pytest.raises(FinetuneError, match=difference):
        CheckpointFolder(tmp_path, other, 1).newest(fail)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    state = CheckpointFolder(tmp_path, RUN, 1).write(checkpoint(), 1) / "state.json"
    state.write_text(json.dumps(seal(json.loads(state.read_text()) | {"format": "mer-checkpoint-9"})))
    with pytest.raises(FinetuneError, match="checkpoint format 'mer-checkpoint-9', this mer reads mer-checkpoint-1"):
        CheckpointFolder(tmp_path, RUN, 1).newest(fail)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path, RUN, 1)
    folder.write(checkpoint(1), 1)

    def full(values: dict[str, Tensor], file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(FinetuneError, match=r"no checkpoint could be written .*No space left.*make room"):
        folder.write(checkpoint(2), 2)
    assert [path.name for path in folder.path.iterdir()] == ["step-000001"]
    assert_same(folder.newest(fail), checkpoint(1))


def test_what_a_kill_left_behind_is_removed_and_never_read(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, RUN, 1)
    left = folder.path / f"{HIDDEN}0"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    assert folder.newest(fail) is None
    folder.write(checkpoint(), 1)
    assert [path.name for path in folder.path.iterdir()] == ["step-000001"]


def test_everything_is_on_the_device_before_the_folder_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    rename, sync = Path.rename, os.fsync

    def noted_sync(descriptor: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{descriptor}').resolve().name.split('-')[0]}")
        sync(descriptor)

    def noted_rename(path: Path, to: Path) -> Path:
        events.append(f"rename {to.name}")
        return rename(path, to)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    CheckpointFolder(tmp_path, RUN, 1).write(checkpoint(selected=BEST), 1)
    files = [f"sync {name}" for name in ("model.safetensors", "optimizer.safetensors", "selected.safetensors", "state.json")]
    assert events == [f"sync {tmp_path.name.split('-')[0]}", *files, "sync .part", "rename step-000001", "sync checkpoints"]


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, RUN, 2)
    folder.discard()
    folder.write(checkpoint(1), 1)
    folder.write(checkpoint(2), 2)
    folder.discard()
    assert list(tmp_path.iterdir()) == []
