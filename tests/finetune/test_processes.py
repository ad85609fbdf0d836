"""Several processes: one model, and one end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mer.finetune.config import FinetuneConfig
from mer.finetune.processes import is_lost_process, is_out_of_memory, resolve_precision

NarrowConfig = Callable[..., FinetuneConfig]
PROGRAM = Path(__file__).with_name("small_run.py")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")} | {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
MINUTE = 60.0
LIMIT = 240.0
"""Of a test that hangs; imports alone take a minute on a machine with other work."""


def arguments(config: FinetuneConfig, folder: Path, *settings: str) -> list[str]:
    return [str(PROGRAM), config.speech_model, config.text_model, str(folder / "corpus"), str(folder / "run"), *settings]


def start_two(command: list[str]) -> list[subprocess.Popen[str]]:
    """Two processes that find each other, without a launcher that would watch over them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        environment = ENVIRONMENT | {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
        pipe = subprocess.PIPE
        found.append(subprocess.Popen([sys.executable, *command], env=environment, stdout=pipe, stderr=pipe, text=True))
    return found


def checkpoint(folder: Path) -> Path:
    (found,) = (folder / "run" / "checkpoints").glob("step-*")
    return found


def gradients(folder: Path) -> dict[str, torch.Tensor]:
    """Ten times AdamW's first moments after the first step."""
    saved = load_file(checkpoint(folder) / "optimizer.safetensors")
    return {name: 10 * value for name, value in saved.items() if name.startswith("exp_avg.")}


@pytest.mark.slow
def test_two_processes_give_the_gradients_losses_and_logits_of_one(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    """With one pass a process and with several, dropout included: one process here takes the step in one pass."""
    config = narrow_config()
    settings = ("epochs=1", "batch=14", "clip=0", 'aux="1+2"')
    folders = [tmp_path / name for name in ("one", "two-in-one-pass", "two-in-several")]
    done = subprocess.run(
        [sys.executable, *arguments(config, folders[0], *settings, "batch_seconds=60.0")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    logits = [json.loads(done.stdout)]
    for folder, seconds in zip(folders[1:], (60.0, 1.0), strict=True):
        both = start_two(arguments(config, folder, *settings, f"batch_seconds={seconds}"))
        out = [process.communicate(timeout=LIMIT) for process in both]
        assert [process.returncode for process in both] == [0, 0], out
        logits.append(json.loads(out[0][0]))
    one = gradients(folders[0])
    largest = max(float(value.abs().max()) for value in one.values())
    for folder, found in zip(folders[1:], logits[1:], strict=True):
        two = gradients(folder)
        assert one.keys() == two.keys()
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-6 * largest, msg=name)
        torch.testing.assert_close(torch.tensor(found), torch.tensor(logits[0]), rtol=0, atol=1e-4)
        assert losses(folder) == pytest.approx(losses(folders[0]), rel=1e-4, abs=1e-6)


def losses(folder: Path) -> dict[str, float]:
    (epoch,) = json.loads((checkpoint(folder) / "state.json").read_text())["progress"]["epochs"]
    return {name: value for name, value in epoch.items() if name != "seconds" and value is not None}


@pytest.mark.slow
def test_when_one_process_is_killed_the_other_says_so_and_ends(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    survivor, victim = start_two(arguments(narrow_config(), tmp_path, "die=1"))
    victim.communicate(timeout=LIMIT)
    assert victim.returncode == -signal.SIGKILL
    _, err = survivor.communicate(timeout=MINUTE)
    assert survivor.returncode == 1
    told = err.strip().splitlines()[-1]
    assert told.startswith("error: fold 5, seed 3, epoch 1, step 2: process 0 of 2 has lost another one, which has died or was")
    assert told.endswith("The last checkpoint is whole: give the same command with --resume")
    check_whole(tmp_path, narrow_config())


def check_whole(folder: Path, config: FinetuneConfig) -> None:
    """The checkpoint of the first step is there, and one process goes on from it."""
    assert checkpoint(folder).name == "step-000001"
    command = [sys.executable, *arguments(config, folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=LIMIT)
    assert len(json.loads(done.stdout)) == 4


@pytest.mark.slow
def test_torchrun_ends_the_job_of_a_killed_process_and_says_why(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *launcher, *arguments(narrow_config(), tmp_path, "die=1")]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL) received" in done.stderr
    check_whole(tmp_path, narrow_config())


@pytest.mark.parametrize(
    ("problem", "lost", "memory"),
    [
        (RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer"), True, False),
        (torch.distributed.DistBackendError("NCCL communicator was aborted on rank 0."), True, False),
        (torch.distributed.DistNetworkError("The client socket has timed out"), True, False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, False),
        (torch.OutOfMemoryError("CUDA out of memory."), False, True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), False, True),
        (MemoryError(), False, True),
    ],
)
def test_errors_are_told_apart(problem: Exception, lost: bool, memory: bool) -> None:
    assert (is_lost_process(problem), is_out_of_memory(problem)) == (lost, memory)


@pytest.mark.parametrize(
    ("precision", "device", "has_bfloat16", "expected"),
    [
        ("auto", "cpu", True, "float32"),
        ("auto", "cuda", True, "bfloat16"),
        ("auto", "cuda", False, "float32"),
        ("float32", "cuda", True, "float32"),
        ("bfloat16", "cpu", False, "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_the_gpu_has_it(
    precision: str, device: str, has_bfloat16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16 or including_emulation)
    assert resolve_precision(FinetuneConfig(precision=precision), torch.device(device)) == expected
