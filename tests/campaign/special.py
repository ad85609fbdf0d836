"""Pipes, sockets, devices, folders and monstrous files where files are expected."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mer.tests import test_special_files as tested
from mer.tests.campaign.material import Material
from mer.tests.campaign.tally import Tally


def put_special(material: Material, count: int, seed: int, root: Path) -> list[Tally]:
    """Each is refused in mer's own words, at once; `count` is how many at most."""
    tally = Tally(test="special files")
    cases = list(_cases(material))
    for name, check in cases[:: max(1, len(cases) // count)]:
        tally.count += 1
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as place:
            try:
                check(tmp_path=Path(place))
            except AssertionError as problem:
                tally.hangs += 1
                tally.seen.append(f"{name}: {str(problem)[:200]}")
            except BaseException as problem:
                tally.tracebacks += 1
                tally.seen.append(f"{name}: {type(problem).__name__}: {str(problem)[:200]}")
    return [tally]


def _cases(material: Material) -> Iterator[tuple[str, Callable[..., None]]]:
    for kind in tested.SPECIAL:
        for reader in tested.READERS:
            yield f"{kind} for {reader}", partial(tested.test_what_is_no_file_is_refused_at_once, reader, kind)
        for name in ("result.json", "config.json", "predictions.csv", "provenance.json"):
            check = partial(tested.test_a_run_with_something_else_in_place_of_a_file_is_an_error_or_looked_past, name, kind)
            yield f"{kind} for {name} of a run", check
        for name in tested.FILES:
            yield (
                f"{kind} for {name} of a cache",
                partial(tested.test_a_cache_with_something_else_in_place_of_a_file_is_not_read, name, kind),
            )
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            check = partial(tested.test_an_encoder_with_something_else_in_place_of_a_file_is_damaged, name, kind, material.text)
            yield f"{kind} for {name} of an encoder", check
