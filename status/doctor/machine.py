"""Python, packages, device, memory, disk, encoders: is this machine ready?"""

import dataclasses
import importlib.util
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mer.backends.local import cores
from mer.settings import plugin_files
from mer.status.doctor.check import Check

if TYPE_CHECKING:
    from mer.extract.lora import Adapter

PACKAGES = (
    "torch",
    "transformers",
    "h5py",
    "numpy",
    "soundfile",
    "soxr",
    "textgrid",
    "scikit-learn",
    "scipy",
    "safetensors",
)
EXTRAS = {
    "demo": ("espeakng_loader", "the synthetic corpus of `mer demo` and `mer synth`"),
    "audformat": ("audformat", "databases in audformat"),
    "media": ("av", "recordings in m4a, aac, mp4 and webm"),
}
LEAST_DISK = 35e9
"""Bytes of a full IEMOCAP cache with frames (4 classes, base encoders)."""


def machine_checks(cache: Path) -> list[Check]:
    """Python, packages, extras, device, cores, memory, and the disk under the cache."""
    return [_python(), *_packages(), *_extras(), *_plugins(), _device(), _cores_and_memory(), _disk(cache)]


def _plugins() -> list[Check]:
    """The modules of the user's own that every command imports."""
    return [
        Check(name="plugin", status="ok", found=f"{name} ({'built in' if file is None else file})")
        for name, file in plugin_files().items()
    ]


def encoder_check(option: str, name: str) -> Check:
    """Whether an encoder can be loaded without network: its kind, its input files and that its weights are whole."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return _folder_check(option, Path(name), f"folder {name}")
    config = try_to_load_from_cache(name, "config.json")
    if isinstance(config, str):
        found = _folder_check(option, Path(config).parent, f"{name}, in the local Hugging Face cache")
        advice = f"what is missing is downloaded when first needed; without network, or if it fails, `hf download {name}`"
        return found if found.status == "ok" else dataclasses.replace(found, advice=advice)
    return Check(
        name=option,
        status="note",
        found=f"{name}, not on this machine",
        advice=f"downloaded when first needed; without network give {option} DIR",
    )


def _folder_check(option: str, folder: Path, title: str) -> Check:
    from mer.extract import EncoderError, SpeechCheckpoint, open_speech, open_text
    from mer.extract.checkpoint_files import WEIGHTS, unreadable_pickle, weight_files

    try:
        opened = open_speech(str(folder)) if option == SpeechCheckpoint.option else open_text(str(folder))
    except EncoderError as problem:
        return Check(name=option, status="problem", found=str(problem).removeprefix(f"{option} "))
    if opened.adapter is not None:
        return _adapter_check(option, opened.adapter, opened.title)
    wrong = unreadable_pickle(folder)
    if not opened.loads_itself and not list(weight_files(folder)):
        wrong = f"no weights in it (looked for {', '.join(WEIGHTS)})"
    if wrong:
        return Check(name=option, status="problem", found=f"{title}: {wrong}")
    return Check(name=option, status="ok", found=f"{title}, a {opened.config.model_type} encoder")


def _adapter_check(option: str, adapter: "Adapter", title: str) -> Check:
    """An adapter is as good as its own file and the encoder that it changes."""
    from mer.extract import EncoderError

    try:
        adapter.read(title)
    except EncoderError as problem:
        return Check(name=option, status="problem", found=str(problem).removeprefix(f"{option} "))
    base = encoder_check(option, adapter.base)
    return dataclasses.replace(base, found=f"folder {adapter.folder}, an adapter of {base.found}")


def _python() -> Check:
    return Check(name="python", status="ok", found=f"{platform.python_version()} on {platform.platform(terse=True)}")


def _packages() -> list[Check]:
    checks = []
    for name in PACKAGES:
        try:
            checks.append(Check(name=name, status="ok", found=version(name)))
        except PackageNotFoundError:
            advice = 'python -m pip install -c constraints.txt -e ".[demo]"'
            checks.append(Check(name=name, status="problem", found="not installed", advice=advice))
    return checks


def _extras() -> list[Check]:
    return [
        Check(name=f"extra {extra}", status="ok", found=purpose)
        if importlib.util.find_spec(module)
        else Check(
            name=f"extra {extra}",
            status="note",
            found=f"not installed: needed for {purpose}",
            advice=f'python -m pip install "mer-fusion[{extra}]"',
        )
        for extra, (module, purpose) in EXTRAS.items()
    ]


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Check(name="device", status="ok", found=f"{name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free")
    return Check(
        name="device",
        status="note",
        found="CPU only",
        advice="IEMOCAP with base encoders takes about an hour of one core per 7 h of speech",
    )


def _cores_and_memory() -> Check:
    memory = psutil.virtual_memory()
    found = f"{cores()} cores, {memory.available / 1e9:.0f} of {memory.total / 1e9:.0f} GB memory available"
    if memory.available < 2e9:
        return Check(name="memory", status="problem", found=found, advice="each extraction worker needs about 1.5 GB")
    return Check(name="memory", status="ok", found=found)


def _disk(cache: Path) -> Check:
    place = next(p for p in (cache.absolute(), *cache.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.0f} GB free for {cache}"
    if free < LEAST_DISK:
        advice = "IEMOCAP needs 33 GB, or 10 GB with --granularity P+S+W+T; give --cache on a larger disk"
        return Check(name="disk", status="note", found=found, advice=advice)
    return Check(name="disk", status="ok", found=found)
