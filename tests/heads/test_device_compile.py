"""Every kernel of the device path compiles for an H100, in the shapes of base encoders, on a machine without a GPU.

python tests/heads/test_device_compile.py        says what became of each
"""

import os
import subprocess
import sys
from typing import Any

import pytest

HALF, FLOAT, INT, LONG = "*fp16", "*fp32", "*i32", "*i64"
TABLES = {"tiles", "keys", "bounds", "chunks", "uses", "order", "blocks"}
NUMBERS = {
    "call",
    "dropped",
    "outputs",
    "inputs",
    "runs",
    "layers",
    "dim",
    "rows",
    "size",
    "of_run",
    "of_head",
    "of_output",
    "width",
}
NUMBERS |= {"width"}
REALS = {"scale", "epsilon", "first_decay", "second_decay"}
STORED = {"units", "normal"}
PRODUCT = {"ROWS": 64, "COLUMNS": 128, "DEPTH": 32}
NORM = {"NORM": True, "ADD": True, "DROPOUT": True, "TILE": 64, "ROWS": 4, "DIM": 1024}
AVERAGE = {"ACTIVE": True, "PRECISION": "tf32", "CHUNK": 16, "LAYERS": 16, "DIM": 64, "DEPTH": 32}
KERNELS: list[tuple[str, str, dict[str, Any], set[str]]] = [
    *(
        ("linear_kernels", "linear_forward", {**PRODUCT, "RELU": True, "DROPOUT": True, "PRECISION": each}, {"values"})
        for each in ("tf32", "bfloat16", "ieee")
    ),
    (
        "linear_kernels",
        "linear_of_inputs",
        {**PRODUCT, "ACTIVE": False, "BEFORE": True, "MORE": True, "PRECISION": "tf32"},
        {"before"},
    ),
    ("linear_kernels", "linear_of_weights", {**PRODUCT, "ACTIVE": True, "MOVE": True, "PRECISION": "tf32"}, {"values"}),
    ("layer_kernels", "average_forward", {"CHUNK": 8, "DIM": 1024}, {"units", "out"}),
    ("layer_kernels", "row_means", {"ROWS": 4, "DIM": 1024}, set()),
    ("layer_kernels", "linear_row_means", {"ACTIVE": True, "ROWS": 64, "OUTPUTS": 64}, set()),
    *(("layer_kernels", "average_backward", {**AVERAGE, "LINEAR": each}, {"units", "out"}) for each in (True, False)),
    ("layer_kernels", "add_parts", {"SIZE": 1024}, set()),
    *(
        ("attention_kernels", f"attend_{each}", {"PRECISION": "tf32", "ROWS": 32, "KEYS": 32, "WIDTH": 128}, set())
        for each in ("forward", "of_queries", "of_keys")
    ),
    ("adam_kernel", "adam", {"SIZE": 1024}, set()),
    ("norm_kernels", "norm_forward", NORM, set()),
    ("norm_kernels", "norm_backward", NORM, set()),
    ("pair_kernels", "pair_scores", {**PRODUCT, "COLUMNS": 64, "SHIFTED": True, "PRECISION": "tf32"}, set()),
    ("pair_kernels", "pair_sums", {**PRODUCT, "TWO": True, "MORE": True, "PRECISION": "tf32"}, set()),
    ("pair_kernels", "pair_columns", {**PRODUCT, "ROWS": 32, "TOTALS": True, "PRECISION": "tf32"}, set()),
    *(("pair_kernels", "softmax_of_columns", {"BACKWARD": b, "ROWS": 16, "UNITS": 16, "HEADS": 8}, set()) for b in (True, False)),
    *(("pair_kernels", "softmax_of_rows", {"BACKWARD": b, "ROWS": 64, "COLUMNS": 32}, set()) for b in (True, False)),
]


def kind_of(name: str, halves: set[str]) -> str:
    if name in halves:
        return HALF
    if name == "addresses":
        return LONG
    return INT if name in TABLES else "i32" if name in NUMBERS else "fp32" if name in REALS else FLOAT


def compile_all() -> None:
    from importlib import import_module

    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    for module, name, constants, halves in KERNELS:
        kernel = getattr(import_module(f"mer.heads.stacked.device.{module}"), name)
        # Arguments of one, as Triton takes them: constants. A head's input is next to the one before it.
        heads = 8 if module == "attention_kernels" else 1
        ones = {each: value for each, value in (("heads", heads), ("of_input", 1)) if each in kernel.arg_names}
        known = {**constants, **ones}
        signature = {each: "constexpr" if each in known else kind_of(each, halves) for each in kernel.arg_names}
        places = {(kernel.arg_names.index(each),): value for each, value in known.items()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=places)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8 if "average" in name else 4})
        # 227 KiB is what a program may take of an H100's shared memory.
        assert made.metadata.shared <= 227 * 1024
        print(name, made.metadata.shared, "bytes shared,", len(made.asm["cubin"]), "bytes", flush=True)


@pytest.mark.slow
def test_they_compile_for_an_h100() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == len(KERNELS)


if __name__ == "__main__":
    compile_all()
