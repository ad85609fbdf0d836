"""Options that say where work is done, and the backend that they ask for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from mer.backends import Backend

PANEL = "Where it runs"

BackendName = Literal["local", "slurm", "ray"]
BackendOption = Annotated[
    BackendName,
    typer.Option(
        "--backend",
        rich_help_panel=PANEL,
        help="local: processes of this machine. slurm: a job array. ray: tasks on a Ray cluster.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        rich_help_panel=PANEL,
        help="Processes (local; default: one per GPU, or per core), tasks of the array (slurm), tasks at a time (ray).",
    ),
]
ShardRankOption = Annotated[
    int | None,
    typer.Option("--shard-rank", min=0, rich_help_panel=PANEL, help="Do only share I of --shard-world N, from 0: any scheduler."),
]
ShardWorldOption = Annotated[
    int | None,
    typer.Option("--shard-world", min=1, rich_help_panel=PANEL, help="Number of shares that the work is divided into."),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE",
        rich_help_panel=PANEL,
        help="For sbatch; may be repeated: partition=gpu, time=12:00:00, mem=32G, account=..., gpus_per_node=1.",
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", rich_help_panel=PANEL, help="HOST:PORT or ray://... Default: the cluster of this machine."),
]
GpusPerWorkerOption = Annotated[
    float | None,
    typer.Option("--gpus-per-worker", min=0.01, rich_help_panel=PANEL, help="Share of a GPU for a Ray task. Default: 1."),
]


def backend_from_options(
    *,
    backend: BackendName,
    workers: int | None,
    device: str,
    threads: int | None,
    folder: Path,
    slurm: Sequence[str] | None = None,
    ray_address: str | None = None,
    gpus_per_worker: float | None = None,
    cpu_workers: int = 1,
) -> "Backend":
    """The backend that the options ask for.

    Args:
        backend: --backend.
        workers: --workers.
        device: --device; `auto` is for this machine only.
        threads: CPU threads of a worker; None: the cores of this machine divided, or 1 elsewhere.
        folder: where every node sees it: gets the logs of Slurm's jobs, in a folder of their own.
        slurm: --slurm.
        ray_address: --ray-address.
        gpus_per_worker: --gpus-per-worker.
        cpu_workers: processes on this machine's CPU when --workers is not given.

    Raises:
        BackendError: options that do not fit together.
    """
    from mer.backends import BackendError

    foreign = {"--slurm": (slurm, "slurm"), "--ray-address": (ray_address, "ray"), "--gpus-per-worker": (gpus_per_worker, "ray")}
    for option, (given, owner) in foreign.items():
        if given and owner != backend:
            raise BackendError(f"{option} is for --backend {owner}, this is --backend {backend}")
    if backend == "local":
        return _local(workers, device, threads, cpu_workers)
    if device == "auto":
        raise BackendError(f"--backend {backend} needs --device cpu or cuda: this machine may not be like the nodes")
    if backend == "ray":
        from mer.backends.ray_cluster import RayBackend

        gpus = gpus_per_worker if gpus_per_worker is not None else float(device != "cpu")
        return RayBackend(workers=workers, device=device, threads=threads or 1, gpus_per_worker=gpus, address=ray_address)
    if workers is None:
        raise BackendError("--backend slurm needs --workers N, the number of tasks of the job array")
    from mer.backends.slurm import SlurmBackend

    parameters = slurm_parameters(slurm or ())
    return SlurmBackend(workers=workers, folder=folder / "slurm", device=device, threads=threads or 1, parameters=parameters)


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


def shard_from_options(rank: int | None, world: int | None, backend: BackendName) -> tuple[int, int] | None:
    """Which share of the work this command does: (rank, world), None for all of it.

    Raises:
        BackendError: one option without the other, a rank that is not there, or a backend that divides work itself.
    """
    from mer.backends import BackendError

    if rank is None and world is None:
        return None
    if rank is None or world is None:
        raise BackendError(f"--shard-rank and --shard-world go together, got --shard-rank {rank} --shard-world {world}")
    if not 0 <= rank < world:
        raise BackendError(f"--shard-rank {rank}: with --shard-world {world} ranks go from 0 to {world - 1}")
    if backend != "local":
        raise BackendError(f"--backend {backend} divides the work itself: leave out --shard-rank and --shard-world")
    return rank, world


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
