"""What it costs to compare bytes with their hashes: the share of an extraction, a training and a prediction that hashing takes.

Every call that hashes is timed in the same process and run as what it is part of, with encoders of base size and random weights,
so the shares are of one machine at one moment.

    python bench/verify_cost.py --utterances 60
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ENOUGH = 0.02
"""Largest share that is no cost."""


class Meter:
    """Seconds spent in hashing, and bytes hashed."""

    def __init__(self) -> None:
        self.seconds, self.bytes = 0.0, 0

    def timed(self, update: Callable[..., Any], size: Callable[..., int]) -> Callable[..., Any]:
        """A function that hashes, and is timed."""

        def call(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return update(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - begun
                self.bytes += size(*arguments)

        return call


class TimedSha256:
    """hashlib.sha256 with a meter on it."""

    def __init__(self, meter: Meter, content: Any = b"") -> None:
        self._digest = _sha256()
        self.update = meter.timed(self._digest.update, lambda block: memoryview(block).nbytes)
        self.update(content)
        self.digest, self.hexdigest, self.name = self._digest.digest, self._digest.hexdigest, "sha256"


_sha256 = hashlib.sha256


def main() -> None:
    """Extract, train and predict; print the share of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=60, help="of 3 seconds")
    arguments = parser.parse_args()
    meter = Meter()
    file_digest = hashlib.file_digest
    hashlib.sha256 = lambda content=b"", **_: TimedSha256(meter, content)  # type: ignore[assignment]
    hashlib.file_digest = meter.timed(file_digest, lambda file, *_: os.fstat(file.fileno()).st_size)
    with tempfile.TemporaryDirectory() as scratch:
        shares = {name: share(meter, step) for name, step in steps(Path(scratch), arguments.utterances)}
    print("| step | seconds | of them hashing | MB hashed | share |\n|---|---:|---:|---:|---:|")
    for name, (seconds, hashing, size) in shares.items():
        print(f"| {name} | {seconds:.1f} | {hashing:.3f} | {size / 1e6:.0f} | {hashing / seconds:.2%} |")
    if any(hashing > ENOUGH * seconds for seconds, hashing, _ in shares.values()):
        raise SystemExit(f"more than {ENOUGH:.0%}")


def share(meter: Meter, step: Callable[[], object]) -> tuple[float, float, int]:
    """Seconds of a step, seconds of hashing in it, and bytes hashed."""
    hashed, size, begun = meter.seconds, meter.bytes, time.perf_counter()
    step()
    return time.perf_counter() - begun, meter.seconds - hashed, meter.bytes - size


def steps(folder: Path, utterances: int) -> list[tuple[str, Callable[[], object]]]:
    """The steps, on noise."""
    import numpy as np
    import soundfile
    from transformers import BertConfig, BertModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    from mer.cache import open_cache
    from mer.corpus import open_corpus
    from mer.demo.small_encoders import write_small_text_encoder
    from mer.extract import ExtractConfig, Resources, extract
    from mer.heads import HeadConfig, train_head
    from mer.predict import load
    from mer.tests.campaign.material import write_corpus

    write_corpus(folder / "corpus", utterances)
    chance = np.random.default_rng(0)
    for each in (folder / "corpus").glob("*.wav"):
        soundfile.write(each, 0.1 * chance.normal(size=48_000), 16_000, subtype="PCM_16")
    speech, text = folder / "speech", folder / "text"
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(speech)
    Wav2Vec2FeatureExtractor().save_pretrained(speech)
    write_small_text_encoder(text, ["happy alone noon"], seed=0)
    BertModel(BertConfig()).save_pretrained(text)
    config = ExtractConfig(speech_model=str(speech), text_model=str(text))
    heads = HeadConfig(
        classes="as-is", fusion="late", granularities=("F", "W"), max_epochs=20, patience=20, device="cpu"
    )  # three folds of the five seeds that a training has
    found: dict[str, Any] = {}

    def extraction() -> None:
        resources = Resources(device="cpu", workers=1)
        found["cache"] = extract(open_corpus(folder / "corpus" / "small.jsonl"), config, folder / "features", resources=resources)

    def training() -> None:
        found["run"] = train_head(open_cache(found["cache"].folder), heads, folder / "runs").directory

    def prediction() -> None:
        predictor = load(found["run"], device="cpu", speech_model=str(speech), text_model=str(text))
        predictor.predict_many(list(open_corpus(folder / "corpus" / "small.jsonl")))

    return [("extraction", extraction), ("training", training), ("prediction", prediction)]


if __name__ == "__main__":
    main()
