"""Peak memory of extraction and of training, on caches much larger than what they may hold.

Each row is a process of its own; its peak resident set is what the system says after it ended. Extraction is bounded by
the shard size, training by `--ram`: the peaks must not grow with the corpus.

    python bench/memory.py
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

SHARD_BYTES = 64_000_000
RAM_GIB = 0.1
SIZES = (200, 800)
SECONDS = 8.0


def main() -> None:
    """Extract and train corpora of two sizes, and print the peak of each process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", choices=["extract", "train", "import"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ram", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        {"extract": extract_here, "train": train_here, "import": import_only}[arguments.step](arguments)
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        return
    table = Table(title=f"peak resident memory, shards of {SHARD_BYTES / 1e6:.0f} MB, training with --ram {RAM_GIB}")
    for column in ("step", "utterances", "cache MB", "peak MB"):
        table.add_column(column, justify="left" if column == "step" else "right")
    with tempfile.TemporaryDirectory() as scratch:
        table.add_row("imports alone", "", "", f"{peak('import', Path(scratch)):.0f}")
        for count in SIZES:
            folder = Path(scratch) / str(count)
            write_corpus(folder, count)
            extraction = peak("extract", folder)
            cache = sum(path.stat().st_size for path in folder.glob("features/**/*.h5")) / 1e6
            table.add_row("extract", str(count), f"{cache:.0f}", f"{extraction:.0f}")
            table.add_row(f"train, --ram {RAM_GIB}", str(count), f"{cache:.0f}", f"{peak('train', folder, RAM_GIB):.0f}")
            table.add_row("train, all in memory", str(count), f"{cache:.0f}", f"{peak('train', folder, 64.0):.0f}")
    Console().print(table)


def peak(step: str, folder: Path, ram: float = 0.0) -> float:
    """Peak resident set of one step in its own process, in MiB."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), "--ram", str(ram)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def write_corpus(folder: Path, count: int) -> None:
    """Noise in five sessions, two classes, with small encoders beside it."""
    from mer.demo.small_encoders import write_small_speech_encoder

    (folder / "corpus").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = []
    for number in range(count):
        name = f"utt{number:05d}"
        samples = 0.1 * random.normal(size=int(16_000 * SECONDS))
        soundfile.write(folder / "corpus" / f"{name}.wav", samples, 16_000, subtype="PCM_16")
        label = ["a", "b"][number % 2]
        session = str(1 + number % 5)
        rows.append({"id": name, "wav": f"{name}.wav", "text": "", "label": label, "speaker": session, "session": session})
    (folder / "corpus" / "noise.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_small_speech_encoder(folder / "speech")


def import_only(arguments: argparse.Namespace) -> None:
    """What every step pays."""
    import mer.extract
    import mer.heads  # noqa: F401


def extract_here(arguments: argparse.Namespace) -> None:
    """Frames of the whole corpus, in this process."""
    from mer.corpus import open_corpus
    from mer.extract import ExtractConfig, Resources, extract

    config = ExtractConfig(speech_model=str(arguments.folder / "speech"), granularities=("F",))
    resources = Resources(device="cpu", workers=1, shard_bytes=SHARD_BYTES)
    extract(
        open_corpus(arguments.folder / "corpus" / "noise.jsonl"),
        config,
        arguments.folder / "features",
        resources=resources,
    )


def train_here(arguments: argparse.Namespace) -> None:
    """One fold, two epochs."""
    from mer.cache import open_cache
    from mer.heads import HeadConfig, train_head

    config = HeadConfig(
        granularities=("F",),
        modality="speech",
        classes="as-is",
        seeds=(0,),
        folds=("1",),
        max_epochs=2,
        ram_gib=arguments.ram,
        device="cpu",
    )
    train_head(open_cache(arguments.folder / "features"), config, arguments.folder / f"runs-{arguments.ram}")


if __name__ == "__main__":
    main()
