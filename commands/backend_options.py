"""Options that say where work is done, and the backend that they ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mer.settings.option import option

if TYPE_CHECKING:
    from mer.backends import Backend

PANEL = "Where it runs"


@dataclass(frozen=True, kw_only=True)
class CpuBackend:
    """Where work is done that never needs a GPU."""

    backend: str = option(
        "local",
        "local: processes of this machine. slurm: a job array. ray: tasks on a Ray cluster.",
        choices=get_args(Literal["local", "slurm", "ray"]),
        panel=PANEL,
    )
    workers: int | None = option(
        None,
        "Processes (local; default: one per GPU, or per core), tasks of the array (slurm), tasks at a time (ray).",
        least=1,
        panel=PANEL,
    )
    shard_rank: int | None = option(None, "Do only share I of --shard-world N, from 0: any scheduler.", least=0, panel=PANEL)
    shard_world: int | None = option(None, "Number of shares that the work is divided into.", least=1, panel=PANEL)
    slurm: tuple[str, ...] = option(
        (),
        "For sbatch; may be repeated: partition=gpu, time=12:00:00, mem=32G, account=..., gpus_per_node=1.",
        metavar="KEY=VALUE",
        panel=PANEL,
    )
    ray_address: str | None = option(None, "HOST:PORT or ray://... Default: the cluster of this machine.", panel=PANEL)

    @property
    def gpu_share(self) -> float | None:
        """GPUs that each Ray task takes, where that is said."""
        return None

    @property
    def shard(self) -> tuple[int, int] | None:
        """Which share of the work this command does: (rank, world), None for all of it.

        Raises:
            BackendError: one option without the other, a rank that is not there, or a backend that divides work itself.
        """
        from mer.backends import BackendError

        rank, world = self.shard_rank, self.shard_world
        if rank is None and world is None:
            return None
        if rank is None or world is None:
            raise BackendError(f"--shard-rank and --shard-world go together, got --shard-rank {rank} --shard-world {world}")
        if not 0 <= rank < world:
            raise BackendError(f"--shard-rank {rank}: with --shard-world {world} ranks go from 0 to {world - 1}")
        if self.backend != "local":
            raise BackendError(f"--backend {self.backend} divides the work itself: leave out --shard-rank and --shard-world")
        return rank, world

    def engine(self, *, device: str, threads: int | None, folder: Path, cpu_workers: int = 1) -> "Backend":
        """The backend that is asked for.

        Args:
            device: --device; `auto` is for this machine only.
            threads: CPU threads of a worker; None: the cores of this machine divided, or 1 elsewhere.
            folder: where every node sees it: gets the logs of Slurm's jobs, in a folder of their own.
            cpu_workers: processes on this machine's CPU when --workers is not given.

        Raises:
            BackendError: options that do not fit together.
        """
        from mer.backends import BackendError

        given = {"--slurm": self.slurm, "--ray-address": self.ray_address, "--gpus-per-worker": self.gpu_share}
        for name, value in given.items():
            owner = "slurm" if name == "--slurm" else "ray"
            if value and owner != self.backend:
                raise BackendError(f"{name} is for --backend {owner}, this is --backend {self.backend}")
        if self.backend == "local":
            return _local(self.workers, device, threads, cpu_workers)
        if device == "auto":
            raise BackendError(f"--backend {self.backend} needs --device cpu or cuda: this machine may not be like the nodes")
        if self.backend == "ray":
            from mer.backends.ray_cluster import RayBackend

            gpus = self.gpu_share if self.gpu_share is not None else float(device != "cpu")
            return RayBackend(
                workers=self.workers, device=device, threads=threads or 1, gpus_per_worker=gpus, address=self.ray_address
            )
        if self.workers is None:
            raise BackendError("--backend slurm needs --workers N, the number of tasks of the job array")
        from mer.backends.slurm import SlurmBackend

        parameters = slurm_parameters(self.slurm)
        return SlurmBackend(
            workers=self.workers, folder=folder / "slurm", device=device, threads=threads or 1, parameters=parameters
        )


@dataclass(frozen=True, kw_only=True)
class AnyBackend(CpuBackend):
    """Where work is done that a GPU makes faster."""

    gpus_per_worker: float | None = option(None, "Share of a GPU for a Ray task. Default: 1.", least=0.01, panel=PANEL)

    @property
    def gpu_share(self) -> float | None:
        """GPUs that each Ray task takes, where that is said."""
        return self.gpus_per_worker


def slurm_parameters(given: Sequence[str]) -> dict[str, str]:
    """Parameters by name from KEY=VALUE.

    Raises:
        BackendError: for something else.
    """
    from mer.backends import BackendError

    wrong = [text for text in given if not text.partition("=")[0] or not text.partition("=")[2]]
    if wrong:
        raise BackendError(f"--slurm {wrong[0]}: give KEY=VALUE, as in --slurm partition=gpu")
    return {key: value for key, _, value in (text.partition("=") for text in given)}


def _local(workers: int | None, device: str, threads: int | None, cpu_workers: int) -> "Backend":
    from mer.backends import LocalBackend

    gpus = None
    if device != "cpu":  # torch is asked only then: importing it takes a second
        import torch

        gpus = torch.cuda.device_count()
        device = ("cuda" if gpus else "cpu") if device == "auto" else device
    if workers is None and device == "cpu":
        workers = cpu_workers
    return LocalBackend(workers=workers, device=device, threads=threads, gpus=gpus)
