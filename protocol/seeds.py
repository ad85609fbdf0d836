"""Random numbers that depend on a seed and on what they are for, and on nothing else."""

import hashlib

import numpy as np


def seed_sequence(seed: int, *purpose: str | int) -> np.random.SeedSequence:
    """The seed sequence of one purpose, so that no two uses of a seed share their numbers.

    Names are hashed rather than numbered: session `3` gets the same numbers whether or not session `2` is
    there.

    Args:
        seed: the run's seed, 0 or more.
        purpose: what the numbers are for, such as `"validation", "3"`.

    Raises:
        ValueError: `seed` is negative.
    """
    if seed < 0:
        raise ValueError(f"a seed must be 0 or more, got {seed}")
    words = [int.from_bytes(hashlib.sha256(repr(word).encode()).digest()[:8], "little") for word in purpose]
    return np.random.SeedSequence([seed, *words])


def numpy_generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator for one purpose; see `seed_sequence`."""
    return np.random.default_rng(seed_sequence(seed, *purpose))


def integer_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for a library that takes a single integer; see `seed_sequence`."""
    return int(seed_sequence(seed, *purpose).generate_state(1, np.uint64)[0] >> np.uint64(1))
