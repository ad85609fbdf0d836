"""Train, and be killed at random lines of what writes and removes checkpoints; each time another process goes on.

python kill_at_random_lines.py SPEECH TEXT FOLDER KILLS

One process imports everything and forks the ones that are killed: the kills depend on lines, not on seconds.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import small_run  # type: ignore[import-not-found]

import mer.finetune.checkpoint as module
from mer.files import folders
from mer.finetune.config import FinetuneConfig

EPOCHS = 6
WRITES = {"write", "_fill", "_all", "whole_folder", "remove_folder", "_put_on_device"}
"""Functions whose lines are counted; those of `shutil`, which removes, are, too."""


def forked(body: Callable[[], None]) -> int:
    """Exit status of a child that runs `body`."""
    child = os.fork()
    if child == 0:
        try:
            body()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def count_lines(reached: Callable[[int], None]) -> None:
    """Call `reached` with the number of each line of the functions above, as it is about to run."""
    lines = 0

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            reached(lines)
        return local

    def found(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        own = code.co_filename in (module.__file__, folders.__file__) and code.co_name in WRITES
        return local if own or code.co_filename.endswith("shutil.py") else None

    sys.settrace(found)


def main(speech: str, text: str, folder: Path, kills: int) -> None:
    """Print what came of it as JSON."""
    settings: dict[str, Any] = small_run.SETTINGS | {"epochs": EPOCHS, "workers": 0}
    config = FinetuneConfig(speech_model=speech, text_model=text, **settings)
    corpus = folder / "corpus"
    small_run.utterances(corpus)

    def whole() -> None:
        seen: list[int] = []
        count_lines(seen.append)
        trained, _ = small_run.train(config, corpus, folder / "whole")
        sys.settrace(None)
        answer = {"logits": trained.logits.tolist(), "lines": len(seen)}
        (folder / "whole.json").write_text(json.dumps(answer))

    def resumed() -> None:
        trained, _ = small_run.train(config, corpus, folder / "killed")
        (folder / "resumed.json").write_text(json.dumps({"logits": trained.logits.tolist()}))

    if forked(whole):
        sys.exit("the run that nothing stops failed")
    expected = json.loads((folder / "whole.json").read_text())
    each = expected["lines"] // (3 * EPOCHS)  # lines of one checkpoint: an epoch has three
    draw, outcomes = random.Random(4), []
    for _ in range(kills):
        moment = draw.randint(1, 3 * each)

        def killed(moment: int = moment) -> None:
            count_lines(lambda line: os.kill(os.getpid(), signal.SIGKILL) if line == moment else None)
            small_run.train(config, corpus, folder / "killed")

        status = forked(killed)
        left = sorted(path.name for path in (folder / "killed" / "checkpoints").iterdir())
        state = None
        skipped: list[str] = []
        if any(name.startswith("step-") for name in left):
            run = json.loads((folder / "killed" / "checkpoints" / left[-1] / "state.json").read_text())["run"]
            checkpoints = module.CheckpointFolder(folder / "killed", run, 1)
            newest = checkpoints.newest(lambda path, reason, skipped=skipped: skipped.append(reason))  # type: ignore[misc]
            assert newest is not None
            state = [newest.progress.epoch, newest.progress.step]
        outcomes.append({"signal": os.WTERMSIG(status), "left": left, "state": state, "skipped": skipped})
    if forked(resumed):
        sys.exit("the run that was killed could not go on")
    same = json.loads((folder / "resumed.json").read_text())["logits"] == expected["logits"]
    print(json.dumps({"outcomes": outcomes, "same": same, "each": each}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
