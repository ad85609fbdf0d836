"""Every kernel of the device path compiles for an H100, in the shapes of base encoders, on a machine without a GPU.

python tests/heads/test_device_compile.py        says what became of each
"""

import os
import subprocess
import sys
from typing import Any

import pytest

HALF, FLOAT, INT, LONG = "*fp16", "*fp32", "*i32", "*i64"
TABLES = {"tiles", "keys", "bounds", "chunks", "uses", "order", "blocks", "bits", "where", "before"}
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
    "words",
    "span",
    "more_span",
    "value_span",
}
REALS = {"scale", "scale_before", "epsilon", "first_decay", "second_decay"}
STORED = {"units", "normal"}
PRODUCT = {"ROWS": 64, "COLUMNS": 128, "DEPTH": 32}
NORM = {"TILE": 64, "ROWS": 4, "DIM": 1024}
AVERAGE = {"ACTIVE": True, "PRECISION": "tf32", "CHUNK": 16, "LAYERS": 16, "DIM": 64, "DEPTH": 32}
KERNELS: list[tuple[str, str, dict[str, Any], set[str]]] = [
    *(
        (
            "linear_kernels",
            "linear_forward",
            {**PRODUCT, "SHARED": False, "AFFINE": True, "RELU": True, "DROPOUT": True, "KEEP": True, "SHARE": each == "tf32"}
            | {"PRECISION": each},
            {"values", "weights"},
        )
        for each in ("tf32", "bfloat16", "ieee")
    ),
    (
        "linear_kernels",
        "linear_forward",
        {**PRODUCT, "SHARED": True, "AFFINE": False, "RELU": False, "DROPOUT": False, "KEEP": False, "SHARE": True}
        | {"PRECISION": "tf32"},
        {"values", "weights", "out"},
    ),
    *(
        (
            "linear_kernels",
            "linear_of_inputs",
            {**PRODUCT, "SHARED": True, "ACTIVE": first, "BITS": True, "BEFORE": first, "MORE": not first}
            | {"MORE_SHARED": not first, "SHARE": first, "PRECISION": "tf32"},
            {"gradient", "weights", "more"},
        )
        for first in (True, False)
    ),
    *(
        (
            "linear_kernels",
            "linear_of_weights",
            {**PRODUCT, "VALUES_SHARED": False, "AFFINE": not first, "SHARED": not first, "ACTIVE": first, "BITS": True}
            | {"MOVE": True, "COPY": True, "PRECISION": "tf32"},
            {"values", "copies"} if first else {"values", "gradient", "copies"},
        )
        for first in (True, False)
    ),
    (
        "linear_kernels",
        "linear_of_weights",
        {**PRODUCT, "VALUES_SHARED": True, "AFFINE": False, "SHARED": True, "ACTIVE": False, "BITS": False}
        | {"MOVE": True, "COPY": True, "PRECISION": "tf32"},
        {"values", "gradient", "copies"},
    ),
    ("layer_kernels", "average_forward", {"CHUNK": 8, "DIM": 1024}, {"units", "out"}),
    ("layer_kernels", "row_means", {"ROWS": 4, "DIM": 1024}, set()),
    ("layer_kernels", "linear_row_means", {"ACTIVE": True, "ROWS": 64, "OUTPUTS": 64}, set()),
    *(
        (
            "layer_kernels",
            "average_backward",
            {**AVERAGE, "SHARED": not norm, "NORM": norm, "LINEAR": linear},
            {"units", "out"} if norm else {"units", "gradient"},
        )
        for norm, linear in ((True, True), (True, False), (False, False))
    ),
    ("layer_kernels", "add_parts", {"SIZE": 1024}, set()),
    *(
        (
            "attention_kernels",
            f"attend_{each}",
            {"PRECISION": "tf32", "ROWS": 32, "KEYS": 32, "WIDTH": 128, "SHARED": share, "BLOCK": 128},
            {"queries", "keys", "values", "gradient", "out", "found", "of_keys", "of_values"} if share else set(),
        )
        for each in ("forward", "of_queries", "of_keys")
        for share in (True, False)
    ),
    ("adam_kernel", "adam", {"SIZE": 1024}, set()),
    (
        "norm_kernels",
        "norm_forward",
        {**NORM, "NORM": True, "AFFINE": True, "ADD": True, "SHARED": True, "DROPOUT": True},
        {"values", "added", "out"},
    ),
    *(
        ("norm_kernels", "norm_backward", {**NORM, "OWNED": not each, "SHARED": each, "SHARE": each, "BLOCK": 128}, {"out"})
        for each in (True, False)
    ),
    (
        "pair_kernels",
        "pair_scores",
        {**PRODUCT, "COLUMNS": 64, "SHARED": False, "COLUMNS_SHARED": True, "AFFINE": True, "SHIFTED": True, "TWO": True}
        | {"PRECISION": "tf32"},
        {"values", "directions", "more_directions"},
    ),
    (
        "pair_kernels",
        "pair_sums",
        {**PRODUCT, "SHARED": True, "COLUMNS_SHARED": True, "SHARE": True, "PRECISION": "tf32"},
        {"third_shares", "values", "second_values", "third_values", "more", "out"},
    ),
    *(
        (
            "pair_kernels",
            "pair_norm",
            {"ROWS": 16, "DIM": 1024, "DEPTH": 16, "COLUMNS_SHARED": each == "tf32", "PRECISION": each},
            {"values", "shares", "out", "column_outputs"},
        )
        for each in ("tf32", "bfloat16")
    ),
    (
        "pair_kernels",
        "pair_columns",
        {**PRODUCT, "ROWS": 32, "SHARED": False, "SHARE": True, "AFFINE": True, "TWO": True, "TOTALS": True}
        | {"PRECISION": "tf32"},
        {"values", "out", "more_out"},
    ),
    *(
        ("pair_kernels", "softmax_of_columns", {"BACKWARD": b, "ROWS": 16, "UNITS": 16, "HEADS": 8}, {"shares"})
        for b in (True, False)
    ),
    *(("pair_kernels", "softmax_of_rows", {"BACKWARD": b, "ROWS": 64, "COLUMNS": 32}, {"shares"}) for b in (True, False)),
]


def kind_of(name: str, halves: set[str]) -> str:
    if name in halves:
        return HALF
    if name in {"addresses", "owners"}:
        return LONG
    return INT if name in TABLES else "i32" if name in NUMBERS else "fp32" if name in REALS else FLOAT


def options_of(name: str) -> dict[str, int]:
    """As the kernel is started."""
    return {"num_warps": 8 if "average" in name or name == "pair_norm" else 4} | (
        {"num_stages": 1} if name == "pair_norm" else {}
    )


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
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options_of(name))
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
