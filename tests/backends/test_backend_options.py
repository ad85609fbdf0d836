"""From options to a backend; what does not fit together is refused by the names of the options."""

from pathlib import Path
from typing import Any

import pytest

from mer.backends import BackendError, LocalBackend
from mer.backends.ray_cluster import RayBackend
from mer.backends.slurm import SlurmBackend
from mer.commands.backend_options import AnyBackend

LOGS = Path("/shared/cache")


def chosen(*, device: str = "cpu", threads: int | None = None, cpu_workers: int = 1, **options: Any) -> Any:
    return AnyBackend(**options).engine(device=device, threads=threads, folder=LOGS, cpu_workers=cpu_workers)


def test_local_workers_are_as_many_as_asked_for_or_as_the_command_wants() -> None:
    assert chosen(workers=3, threads=1) == LocalBackend(workers=3, device="cpu", threads=1)
    assert chosen(cpu_workers=2) == LocalBackend(workers=2, device="cpu")


@pytest.mark.parametrize(("gpus", "expected"), [(0, ("cpu", 5)), (2, ("cuda", None))])
def test_auto_asks_this_machine(gpus: int, expected: tuple[str, int | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    backend = chosen(device="auto", cpu_workers=5)
    assert (backend.device, backend.workers) == expected
    assert backend.gpus == gpus


def test_slurm_gets_its_parameters_and_a_folder_for_its_logs() -> None:
    backend = chosen(backend="slurm", workers=8, device="cuda", slurm=("partition=gpu", "comment=a=b"))
    assert backend == SlurmBackend(
        workers=8, folder=LOGS / "slurm", device="cuda", parameters={"partition": "gpu", "comment": "a=b"}
    )


def test_ray_gets_a_whole_gpu_per_task_unless_told_otherwise() -> None:
    assert chosen(backend="ray", device="cuda").gpus_per_worker == 1.0
    assert chosen(backend="ray", device="cuda", gpus_per_worker=0.25).gpus_per_worker == 0.25
    assert chosen(backend="ray", ray_address="head:6379", workers=4) == RayBackend(workers=4, address="head:6379")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"slurm": ("partition=gpu",)}, "--slurm is for --backend slurm, this is --backend local"),
        ({"backend": "slurm", "workers": 1, "ray_address": "a:1"}, "--ray-address is for --backend ray"),
        ({"gpus_per_worker": 0.5}, "--gpus-per-worker is for --backend ray"),
        ({"backend": "slurm", "device": "cpu"}, "--backend slurm needs --workers N"),
        ({"backend": "slurm", "workers": 2, "device": "auto"}, "--backend slurm needs --device cpu or cuda"),
        ({"backend": "ray", "device": "auto"}, "--backend ray needs --device cpu or cuda"),
        ({"backend": "slurm", "workers": 2, "slurm": ("partition",)}, "--slurm partition: give KEY=VALUE"),
        ({"backend": "slurm", "workers": 2, "slurm": ("=gpu",)}, "--slurm =gpu: give KEY=VALUE"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BackendError, match=says):
        chosen(**options)


def test_shares_need_rank_and_world() -> None:
    assert AnyBackend(backend="slurm").shard is None
    assert AnyBackend(shard_rank=0, shard_world=1).shard == (0, 1)
    assert AnyBackend(shard_rank=3, shard_world=4).shard == (3, 4)


@pytest.mark.parametrize(
    ("rank", "world", "backend", "says"),
    [
        (1, None, "local", "go together, got --shard-rank 1 --shard-world None"),
        (None, 4, "local", "go together"),
        (4, 4, "local", "--shard-rank 4: with --shard-world 4 ranks go from 0 to 3"),
        (-1, 4, "local", "--shard-rank -1"),
        (0, 4, "slurm", "--backend slurm divides the work itself"),
        (0, 4, "ray", "--backend ray divides the work itself"),
    ],
)
def test_shares_that_cannot_be_are_refused(rank: int | None, world: int | None, backend: Any, says: str) -> None:
    with pytest.raises(BackendError, match=says):
        _ = AnyBackend(shard_rank=rank, shard_world=world, backend=backend).shard
