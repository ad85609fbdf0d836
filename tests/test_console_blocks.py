"""Every command that README and the pages of docs/ show is given in a fresh folder, as it stands."""

import csv
import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import pytest
import soundfile

from mer.commands.corpus_choice import raw_labels
from mer.corpus import Utterance, open_corpus
from mer.corpus.textgrid_file import write_textgrid
from mer.demo import ensure_small_encoders, write_small_speech_encoder, write_small_text_encoder
from mer.tests.fenced_blocks import environment, pages
from mer.tests.recognise.small_recognisers import write_whisper

PAGES = pages()
ELSEWHERE = {
    "docs/extending.md": "tests/extending gives these commands and looks at what comes of them",
    "docs/own-corpus.md": "tests/predict/test_own_corpus_guide.py, which speaks the recordings first",
}
"""Pages whose commands another test gives, and which."""
INSTALLS, CLUSTER, SERVES, LONG = (
    "installs packages, as .ci/run does",
    "needs a cluster",
    "serves until it is stopped",
    "half an hour",
)
HUB = "needs a hub: tests/predict/test_hub.py has one"
EXCEPTIONS = {
    'python -m pip install -c constraints.txt -e ".[demo]" && mer demo': INSTALLS,
    'python -m pip install -c constraints.txt -e ".[dev]" && python -m pytest -n 2': INSTALLS,
    'python -m pip install -c constraints.txt -e ".[dev]"': INSTALLS,
    "pre-commit install": INSTALLS,
    'python -m pip install -c constraints.txt -e ".[demo]"': INSTALLS,
    'python -m pip install "mer-fusion[demo]"': INSTALLS,
    "mer demo": "tests/test_demo.py",
    'python -m pip install -c constraints.txt -e ".[dev,browser]" && python -m pytest -m slow -s tests/report': INSTALLS,
    "python -m pip install mer-fusion fastapi uvicorn python-multipart": INSTALLS,
    'python -m pip install "mer-fusion[slurm]"': INSTALLS,
    'python -m pip install "mer-fusion[ray]"': INSTALLS,
    'python -m pip install "mer-fusion[tensorboard]"': INSTALLS,
    "tensorboard --logdir runs": SERVES,
    "mer extract --device cuda": "needs a GPU",
    "accelerate launch --num_processes 2 -m mer.cli finetune --aux 1+2": "needs two GPUs",
    "torchrun --nproc_per_node 2 -m mer.cli finetune --aux 1+2": "needs two GPUs",
    "mer extract --corpus corpus.jsonl --device cuda": "needs a GPU",
    "mer grid zhao2022-table2 --device cuda --backend slurm --workers 16 --slurm partition=gpu": CLUSTER,
    "mer extract --corpus corpus.jsonl --device cuda --backend slurm --workers 16 --slurm partition=gpu "
    "--slurm time=12:00:00": CLUSTER,
    "ray start --head": CLUSTER,
    "mer extract --corpus corpus.jsonl --device cuda --backend ray --ray-address HEAD:6379": CLUSTER,
    "MER_RUN=exported uvicorn service:app --app-dir docs": SERVES,
    'curl -F wav=@hello.wav -F text="oh, it is you again" localhost:8000/predict': SERVES,
    "mer export published/ --push OWNER/NAME": HUB,
    'mer predict OWNER/NAME --wav hello.wav --text "oh, it is you again"': HUB,
    'mer predict OWNER/NAME --revision 1a2b3c4d --fold 1 --wav hello.wav --text "oh, it is you again"': HUB,
    "python bench/trust.py --short": "tests/test_trust.py runs the campaign",
    "python bench/trust.py --long": "takes half an hour",
}
"""Commands that no test can give here, and why."""
SETTINGS = """
speech-model = "encoders/small-wav2vec2"
text-model = "encoders/small-bert"
device = "cpu"

[train-head]
seeds = 2
max-epochs = 2

[grid]
seeds = 1
folds = "1"
max-epochs = 1
epochs = 1

[finetune]
seeds = 1
folds = "1"
epochs = 1
"""
RUNS = {
    "iemocap-late-F+S+T-1a2b3c4d": "--granularity F+S",
    "iemocap-late-F+S+T-5e6f7a8b": "--granularity F+S --hidden 256",
    "iemocap-linear-T-9c0d1e2f": "--modality text",
}
"""Runs by the name that a page gives them, and how they were trained."""
LABELS = ("angry", "happy", "sad")
SECONDS = 300
"""A command that takes longer than this hangs."""


def bare(line: str) -> str:
    """A command without the remark behind it."""
    return re.sub(r"\s+# .*$", "", line).strip()


def commands(page: str) -> list[str]:
    return [bare(line) for block in PAGES[page] if block.language == "console" for line in block.commands]


def test_the_exceptions_stand_in_the_documents() -> None:
    shown = set(chain.from_iterable(map(commands, PAGES)))
    assert set(EXCEPTIONS) <= shown
    assert set(ELSEWHERE) <= set(PAGES)


def test_every_block_says_what_it_is_and_commands_stand_in_blocks_of_commands() -> None:
    called = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:mer|python|pip|torchrun|accelerate|curl) ", re.MULTILINE)
    for page, blocks in PAGES.items():
        for block in blocks:
            assert block.language, f"{page}: {block.text[:80]!r} has no language"
            assert block.language in ("console", "text") or not called.search(block.text), f"{page}: {block.text[:80]!r}"
            assert block.language != "text" or not called.match(block.text), f"{page}: {block.text[:80]!r}"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Give one line to bash in a folder."""
    paths = [sysconfig.get_path("scripts"), os.environ["PATH"]]
    here = environment() | {"PATH": os.pathsep.join(paths), "COLUMNS": "120", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=here, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def given(line: str, folder: Path) -> None:
    done = shell(line, folder)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo makes, small: a corpus, encoders, features, and runs under the names that the pages give them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "mer.toml").write_text(SETTINGS)
    given("mer synth IEMOCAP_full_release --utterances 100", folder)
    ensure_small_encoders(folder / "encoders", [str(each.text) for each in spoken(folder)])
    given("mer extract", folder)
    for name, options in RUNS.items():
        given(f"mer train-head {options} --runs new", folder)
        (trained,) = (folder / "new").iterdir()
        (folder / "runs").mkdir(exist_ok=True)
        trained.rename(folder / "runs" / name)
    return folder


def spoken(folder: Path) -> list[Utterance]:
    """Utterances of the corpus with a recording and a transcript."""
    return [
        each for each in open_corpus(folder / "IEMOCAP_full_release", labels=raw_labels("4")) if each.text and each.wav.exists()
    ]


def corpus_alone(folder: Path) -> None:
    """Before the first command."""
    shutil.rmtree(folder / "features")
    shutil.rmtree(folder / "runs")


def table(path: Path, recordings: Sequence[Utterance], labels: Sequence[str]) -> None:
    """Recordings as their owner has them, with TextGrids, as CSV or JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, each in enumerate(recordings):
        shutil.copy(each.wav, path.parent / f"{each.id}.wav")
        textgrid = f"{each.id}.TextGrid" if each.alignment else ""
        if each.alignment:
            write_textgrid(path.parent / textgrid, each.alignment.read(), soundfile.info(each.wav).duration)
        row = {"id": each.id, "wav": f"{each.id}.wav", "textgrid": textgrid, "text": each.text}
        row |= {"label": labels[number % len(labels)], "speaker": each.speaker, "session": each.session}
        rows.append(row | {"gender": each.speaker[1], "accent": "north", "votes": "happy:2;sad:1"})
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def readme(folder: Path) -> None:
    corpus_alone(folder)
    table(folder / "own.csv", spoken(folder)[::3], LABELS)
    shutil.copy(spoken(folder)[0].wav, folder / "new.wav")


def encoders(folder: Path) -> None:
    """Two sessions are enough to see that three encoders go together."""
    corpus_alone(folder)
    (folder / "mer.toml").unlink()
    (folder / "mer.toml").write_text(SETTINGS + '\n[extract]\nsession = "1-2"\n')
    write_small_speech_encoder(folder / "microsoft" / "wavlm-large", kind="wavlm-layer-norm")
    write_whisper(folder / "openai" / "whisper-large-v3")
    write_small_text_encoder(folder / "FacebookAI" / "roberta-large", [str(each.text) for each in spoken(folder)])


def finetuning(folder: Path) -> None:
    """Beside a corpus of one's own what `mer demo` leaves."""
    (folder / "demo-output").mkdir()
    for name, made in (("IEMOCAP_synthetic", "IEMOCAP_full_release"), ("encoders", "encoders")):
        shutil.copytree(folder / made, folder / "demo-output" / name, copy_function=os.link)


def grids(folder: Path) -> None:
    (own,) = (block.text for block in PAGES["docs/grids.md"] if block.title == "my-table.toml")
    (folder / "my-table.toml").write_text(own)


def predict(folder: Path) -> None:
    first, *others = spoken(folder)[:4]
    shutil.copy(first.wav, folder / "hello.wav")
    table(folder / "new.jsonl", others, LABELS)
    (folder / "clips").mkdir()
    for each in others:
        shutil.copy(each.wav, folder / "clips" / f"{each.id}.wav")
        (folder / "clips" / f"{each.id}.txt").write_text(str(each.text))
    write_whisper(folder / "openai" / "whisper-small.en", languages=False)


def protocols(folder: Path) -> None:
    (labels,) = (block.text for block in PAGES["docs/protocols.md"] if block.title == "labels.toml")
    (folder / "labels.toml").write_text(labels)
    table(folder / "other" / "corpus.csv", spoken(folder), ("joy", "anger"))


def report(folder: Path) -> None:
    """The runs under the short names of the page; a table of the corpus with what is known of its speakers."""
    for short, name in zip("ABC", RUNS, strict=True):
        (folder / "runs" / name).rename(folder / "runs" / short)
    table(folder / "my" / "corpus.csv", spoken(folder), LABELS)


def scaling(folder: Path) -> None:
    corpus_alone(folder)
    table(folder / "corpus.jsonl", spoken(folder)[:20], LABELS)


def nothing_more(folder: Path) -> None:
    """What was trained is enough."""


def tutorial(folder: Path) -> None:
    """What `mer demo` leaves."""
    (folder / "IEMOCAP_full_release").rename(folder / "IEMOCAP_synthetic")
    (folder / "demo-output").mkdir()
    for name in ("IEMOCAP_synthetic", "encoders", "features", "runs"):
        (folder / name).rename(folder / "demo-output" / name)
    written = {block.title: block.text for block in PAGES["docs/tutorial.md"] if block.title}
    small = SETTINGS[SETTINGS.index("[") :]
    (folder / "mer.toml").unlink()
    (folder / "mer.toml").write_text(written["mer.toml"] + small)
    (folder / "layers.toml").write_text(written["layers.toml"])


PREPARED: dict[str, Callable[[Path], None]] = {
    "README.md": readme,
    "docs/encoders.md": encoders,
    "docs/finetuning.md": finetuning,
    "docs/grids.md": grids,
    "docs/predict.md": predict,
    "docs/protocols.md": protocols,
    "docs/report.md": report,
    "docs/scaling.md": scaling,
    "docs/service.md": nothing_more,
    "docs/tracking.md": nothing_more,
    "docs/tutorial.md": tutorial,
}
"""What a reader of each page has before its first command."""


def test_every_page_with_commands_is_prepared() -> None:
    with_commands = {page for page in PAGES if set(commands(page)) - set(EXCEPTIONS)}
    assert with_commands == set(PREPARED) | set(ELSEWHERE)


@pytest.mark.slow
@pytest.mark.xdist_group("console")
@pytest.mark.parametrize("page", PREPARED)
def test_the_commands_of_a_page_work_from_top_to_bottom(page: str, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    # A command writes a file anew, never into one: links are enough.
    shutil.copytree(made, folder, copy_function=os.link)
    PREPARED[page](folder)
    for line in commands(page):
        if line not in EXCEPTIONS:
            given(line, folder)
