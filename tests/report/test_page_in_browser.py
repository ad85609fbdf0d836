"""The page as a browser shows it; needs `pip install -e ".[browser]"` and a chromium (`apt-get install chromium`)."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("page"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed"),
]

SETTING = "penalty_on_what_the_means_of_syllables_and_of_frames_differ_by"
"""A setting that tells the heads apart, and makes their names long."""
CLASSES = ("angry", "happy", "sad", "neutral")
UTTERANCES, HEADS, SEEDS = 5531, 8, 5
RECORDINGS = 100
"""Different ones."""
LOOKS = [("light", 1200), ("dark", 1200), ("light", 390), ("dark", 390)]
ATTACK = "<script>alert(1)</script>"


@dataclass
class Watched:
    """A page with what it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def name_of(head: int) -> str:
    return f"late F+S+T, {SETTING.replace('_', ' ')} {head}"


WORDS, PHONES, SECONDS = 12, 36, 4.0
"""Segments of an utterance and its length, about as in IEMOCAP."""


def tier(number: int, name: str, labels: Sequence[str]) -> str:
    """A tier of a TextGrid, its segments of equal length."""
    edges = np.linspace(0, SECONDS, len(labels) + 1).round(3).tolist()
    head = f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
    head += f"        xmax = {SECONDS}\n        intervals: size = {len(labels)}\n"
    for place, label in enumerate(labels):
        head += f"        intervals [{place + 1}]:\n            xmin = {edges[place]}\n            xmax = {edges[place + 1]}\n"
        head += f'            text = "{label}"\n'
    return head


def write_text_grid(file: Path, words: Sequence[str], phones: Sequence[str]) -> None:
    start = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    start += f"xmin = 0\nxmax = {SECONDS}\ntiers? <exists>\nsize = 2\nitem []:\n"
    file.write_text(start + tier(1, "words", words) + tier(2, "phones", phones))


def write_big_corpus(folder: Path) -> None:
    """A manifest of 5,531 aligned recordings, the first with markup for a transcript and for words."""
    generator = np.random.default_rng(0)
    (folder / "wav").mkdir(parents=True)
    tone = (8000 * np.sin(np.arange(int(16000 * SECONDS) + 4000) / 7)).astype(np.int16)
    write_text_grid(folder / "first.TextGrid", [ATTACK, "again"], ["<b>", "AH0"])
    phones = [("DH", "AH0", "K", "AE1", "NG", "S")[place % 6] for place in range(PHONES)]
    write_text_grid(folder / "other.TextGrid", ["nobody"] * WORDS, phones)
    with (folder / "own.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "wav", "text", "label", "speaker", "session", "textgrid"])
        for number in range(UTTERANCES):
            wav = folder / f"wav/u{number:04}.wav"
            if number < RECORDINGS:
                soundfile.write(wav, tone[: len(tone) - generator.integers(0, 4000)], 16000)
            else:
                shutil.copyfile(folder / f"wav/u{number % RECORDINGS:04}.wav", wav)  # a link would be one recording twice
            text = ATTACK if number == 0 else f"they said number {number} again and nobody knew what it meant"
            session = str(number % 5 + 1)
            grid = "other.TextGrid" if number else "first.TextGrid"
            writer.writerow([f"u{number:04}", f"wav/u{number:04}.wav", text, CLASSES[number % 4], f"{session}F", session, grid])


def write_big_run(folder: Path, seed: int) -> None:
    """A result of 25 runs over the corpus, with answers drawn at random."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    config = {"fusion": "late", "granularities": ["F", "S"], SETTING: seed}
    (folder / "config.json").write_text(json.dumps({"config": {**config, "branches": ["F", "S", "T"]}}))
    truth, session = np.arange(UTTERANCES) % 4, np.arange(UTTERANCES) % 5 + 1
    confusion, rows = np.zeros((4, 4), dtype=int), []
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["fold", "seed", "id", "label", "prediction", *CLASSES])
        for run, fold in ((run, fold) for run in range(SEEDS) for fold in range(1, 6)):
            chosen = np.flatnonzero(session == fold)
            shares = generator.dirichlet([0.5] * 4, len(chosen)) + 0.3 * np.eye(4)[truth[chosen]]
            said = shares.argmax(axis=1)
            np.add.at(confusion, (truth[chosen], said), 1)
            rows.append(
                {
                    "fold": str(fold),
                    "seed": run,
                    "best_epoch": 1,
                    "ua": float((said == truth[chosen]).mean()),
                    "wa": 0.5,
                    "layer_shares": {},
                }
            )
            for place, number in enumerate(chosen.tolist()):
                cells = [f"{share / shares[place].sum():.6f}" for share in shares[place]]
                writer.writerow([fold, run, f"u{number:04}", CLASSES[truth[number]], CLASSES[said[place]], *cells])
    score = {"mean_of_folds": float(np.mean([row["ua"] for row in rows])), "merged": 0.5, "std_folds": 0.01, "std_seeds": 0.01}
    summary = {
        "classes": CLASSES,
        "folds": list("12345"),
        "seeds": list(range(SEEDS)),
        "all": {"utterances": UTTERANCES, "ua": score, "wa": score},
        "recall": {name: float(confusion[place, place] / confusion[place].sum()) for place, name in enumerate(CLASSES)},
        "confusion": confusion.tolist(),
    }
    result = {"format": 1, "corpus": "own", "synthetic": True, "config": config, "branches": ["F", "S", "T"], "summary": summary}
    (folder / "result.json").write_text(json.dumps(result | {"runs": rows, "failed_runs": [], "layers": {}}))


@pytest.fixture(scope="module")
def big_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 5,531 utterances and 4 heads, as the command makes it; prints how long that took."""
    folder = tmp_path_factory.mktemp("big")
    write_big_corpus(folder / "corpus")
    for head in range(HEADS):
        write_big_run(folder / "runs" / f"own-late-F+S+T-{head:08}", head)
    command = [sys.executable, "-m", "mer.cli", "report", str(folder / "runs"), "--to", str(folder / "out"), "--quiet"]
    before, started = os.times(), time.monotonic()
    subprocess.run([*command, "--corpus", str(folder / "corpus" / "own.csv")], check=True, env=os.environ, capture_output=True)
    wall, after = time.monotonic() - started, os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    page = folder / "out" / "index.html"
    megabytes = page.stat().st_size / 1e6
    print(f"\npage of {UTTERANCES:,} utterances x {HEADS} heads: {wall:.1f} s ({seconds:.1f} s of a core), {megabytes:.1f} MB")
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def listened(page: Page) -> Watched:
    seen = Watched(page)
    page.on("request", lambda sent: seen.requests.append(sent.url))
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda problem: seen.complaints.append(str(problem)))
    page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
    return seen


@pytest.fixture(scope="module")
def pages(browser: Browser) -> Iterator[dict[tuple[str, int], Watched]]:
    """One page for each look, which the tests open anew."""
    found = {}
    for scheme, width in LOOKS:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        found[scheme, width] = listened(context.new_page())
    yield found
    for seen in found.values():
        seen.page.context.close()


def opened(pages: dict[tuple[str, int], Watched], look: tuple[str, int], address: Path) -> Watched:
    seen = pages[look]
    seen.requests.clear()
    seen.complaints.clear()
    seen.page.goto(address.as_uri())
    return seen


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def every_look(request: pytest.FixtureRequest, pages: dict[tuple[str, int], Watched], big_page: Path) -> Watched:
    """The page in both themes, on a desk and on a phone."""
    return opened(pages, request.param, big_page)


@pytest.fixture(params=[LOOKS[0], LOOKS[3]], ids=lambda look: f"{look[0]}-{look[1]}")
def watched(request: pytest.FixtureRequest, pages: dict[tuple[str, int], Watched], big_page: Path) -> Watched:
    """The page on a desk and on a phone: what works in one theme works in the other."""
    return opened(pages, request.param, big_page)


def shown(page: Page) -> int:
    return int(page.locator("#count").inner_text().split(" of ")[0].replace(",", ""))


def plays(page: Page) -> bool:
    """Whether the opened recording moves within some seconds; the page forbids the eval of `wait_for_function`."""
    for _ in range(50):
        if page.locator("#list audio").evaluate("audio => audio.currentTime") > 0:
            return True
        page.wait_for_timeout(100)
    return False


def test_a_whole_corpus_is_a_page_of_less_than_5_megabytes(big_page: Path) -> None:
    assert big_page.stat().st_size < 5_000_000


def test_filters_find_what_they_say(watched: Watched) -> None:
    page = watched.page
    assert shown(page) == UTTERANCES
    page.fill("#f-text", "NUMBER 123 again ")
    assert shown(page) == 1
    assert page.locator("#list .id").inner_text() == "u0123"
    page.click("button[type=reset]")
    expect(page.locator("#count")).to_have_text(f"{UTTERANCES:,} of {UTTERANCES:,} utterances")
    page.select_option("#f-label", label="sad")
    assert shown(page) == sum(number % 4 == 2 for number in range(UTTERANCES))
    page.select_option("#f-answers", "right")
    right = shown(page)
    page.select_option("#f-answers", "wrong")
    assert right + shown(page) == sum(number % 4 == 2 for number in range(UTTERANCES))
    page.select_option("#f-prediction", label="sad")
    assert shown(page) == 0
    page.click("button[type=reset]")
    page.select_option("#f-session", "2")
    page.fill("#f-from", "45")
    assert 0 < shown(page) < UTTERANCES / 5
    assert watched.complaints == []


def test_an_utterance_opens_with_every_head_and_plays_by_keyboard(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("/")
    page.keyboard.type("u000")
    assert shown(page) == 10
    page.locator("#list .row").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    opened = page.locator("#list .open")
    assert opened.locator(".heads > div").count() == HEADS
    assert opened.locator(".bar").count() == HEADS * len(CLASSES)
    assert opened.locator("svg .wave").count() == 100
    assert "number 1 again" in opened.locator(".said").inner_text()
    page.keyboard.press("p")
    assert plays(page)
    assert page.locator("#list audio").evaluate("audio => audio.error") is None
    assert {address.split(":")[0] for address in watched.requests} <= {"file", "data"}
    assert watched.complaints == []


def test_a_transcript_with_markup_appears_as_text(watched: Watched) -> None:
    page = watched.page
    page.fill("#f-text", "u0000")
    page.locator("#list .row").click()
    assert page.locator("#list .said").inner_text() == ATTACK
    assert page.locator("#list .words span").all_text_contents() == [ATTACK, "again"]
    assert page.locator("#list .phones span").all_text_contents() == ["<b>", "AH"]
    assert page.locator("#list .syllables span").all_text_contents() == ["<b>", "AH"]
    assert page.locator("#list script, #list b b").count() == 0
    assert watched.complaints == []


def test_words_stand_where_they_are_spoken_and_a_click_plays_from_there(watched: Watched) -> None:
    page = watched.page
    page.fill("#f-text", "u0000")
    page.locator("#list .row").click()
    track = page.locator("#list .track")
    frame, word = track.bounding_box(), track.locator(".words span").nth(1).bounding_box()
    assert frame is not None
    assert word is not None
    seconds = float(page.locator("#list .said + p").inner_text().split("length ")[1].split(" s")[0])
    # The border of the frame is a pixel, and times are hundredths of a second.
    assert (word["x"] - frame["x"]) / frame["width"] == pytest.approx(0.5 * SECONDS / seconds, abs=0.02)
    track.click(position={"x": frame["width"] * 0.5, "y": frame["height"] * 0.5})
    assert plays(page)
    assert page.locator("#list audio").evaluate("audio => audio.currentTime") >= 0.45 * seconds


def test_a_row_shows_what_the_chosen_head_says_below_its_name(watched: Watched) -> None:
    page = watched.page
    page.fill("#f-text", "u0001")
    page.locator("#list .row").click()
    heads = page.locator("#list .heads h3").all_inner_texts()
    assert len(heads) == HEADS
    right = sum(head.startswith("✓") for head in heads)
    for number, head in enumerate(heads):
        page.select_option("#f-head", label=name_of(number))
        assert page.locator("#names .answers span").all_inner_texts() == [name_of(number), "all heads"]
        said, all_heads = page.locator("#list .row .answers span").all_inner_texts()
        mark, prediction, *_ = said.split()
        assert (head[0], head.rsplit(" ", 1)[1]) == (mark, prediction)
        assert mark == ("✓" if prediction == "happy" else "✗")
        assert all_heads == f"{right} of {HEADS} right"


def test_a_cell_of_a_confusion_matrix_lists_its_utterances(watched: Watched) -> None:
    page = watched.page
    page.select_option("#f-session", "2")
    table = page.locator("#matrices table").nth(1)
    rows = [
        [int(text.split()[0].replace(",", "")) for text in row.locator("button").all_inner_texts()]
        for row in table.locator("tbody tr").all()
    ]
    assert [sum(row) for row in rows] == [sum(number % 4 == label for number in range(UTTERANCES)) for label in range(4)]
    for label, prediction in ((0, 0), (2, 1)):
        table.locator("tbody tr").nth(label).locator("button").nth(prediction).click()
        # Other filters are gone: the list has what the cell counts.
        assert shown(page) == rows[label][prediction]
        chosen = [page.locator(f"#f-{name} option:checked").inner_text() for name in ("label", "prediction", "head", "session")]
        assert chosen == [CLASSES[label], CLASSES[prediction], name_of(1), "any"]
    assert watched.complaints == []


def test_an_address_opens_an_utterance_and_survives_a_reload(watched: Watched) -> None:
    page = watched.page
    page.fill("#f-text", "u0123")
    page.locator("#list .row").click()
    assert page.url.endswith("#utterance=u0123")
    page.reload()
    expect(page.locator("#list .open .said")).to_contain_text("number 123 again")
    page.goto("about:blank")
    page.go_back()
    expect(page.locator("#list .open .said")).to_contain_text("number 123 again")
    assert page.locator("#list .row").first.evaluate("row => row.getBoundingClientRect().top < innerHeight")
    page.locator("#list .row").click()
    assert page.url.endswith("#utterances")
    page.click("button[type=reset]")
    page.evaluate("location.hash = '#utterance=u5000'")
    expect(page.locator("#list .open .said")).to_contain_text("number 5000 again")
    page.evaluate("location.hash = '#utterance=nobody%'")
    assert watched.complaints == []


def test_what_is_filtered_can_be_saved_as_csv(watched: Watched) -> None:
    page = watched.page
    page.fill("#f-text", "u000")
    page.select_option("#f-order", "unsure")
    ids = page.locator("#list .id").all_inner_texts()
    with page.expect_download() as saved:
        page.click("#download")
    assert saved.value.suggested_filename == "utterances.csv"
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text("utf-8"))))
    assert [row["id"] for row in rows] == ids
    first = next(row for row in rows if row["id"] == "u0000")
    assert (first["label"], first["session"], first["transcript"]) == ("angry", "1", ATTACK)
    head = name_of(0)
    shares = {name: float(first[f"{head}: {name} %"]) for name in CLASSES}
    assert sum(shares.values()) == pytest.approx(100, abs=0.3)
    assert first[f"{head}: prediction"] == max(shares, key=lambda name: shares[name])
    assert 0 <= int(first[f"{head}: seeds right"]) <= SEEDS
    assert watched.complaints == []


def test_figures_and_heads_follow_the_theme(every_look: Watched) -> None:
    page = every_look.page
    ink = "() => getComputedStyle(document.querySelector('figure svg text')).fill"
    colour = "() => getComputedStyle(document.querySelector('#scores .swatch')).backgroundColor"
    before = [page.evaluate(ink), page.evaluate(colour)]
    page.click("#theme")
    after = [page.evaluate(ink), page.evaluate(colour)]
    assert before[0] != after[0]
    assert before[1] != after[1]
    of_table = page.evaluate("[...document.querySelectorAll('#scores .swatch')].map(e => getComputedStyle(e).backgroundColor)")
    of_list = page.evaluate("[...document.querySelectorAll('#names .swatch')].map(e => getComputedStyle(e).backgroundColor)")
    assert len(set(of_table)) == HEADS
    assert of_list == of_table[:1]


def test_names_do_not_cover_numbers(every_look: Watched) -> None:
    page = every_look.page
    overlaps = page.evaluate(
        """() => [...document.querySelectorAll('#scores tbody tr')].map((row) => {
            const name = document.createRange();
            name.selectNodeContents(row.cells[0]);
            const number = document.createRange();
            number.selectNodeContents(row.cells[1]);
            return name.getBoundingClientRect().right - number.getBoundingClientRect().left;
        })"""
    )
    assert len(overlaps) == HEADS
    assert max(overlaps) <= 0


def test_tables_sort_both_ways(watched: Watched) -> None:
    page = watched.page
    heading = page.locator("#scores thead button", has_text="UA").first
    values = []
    for direction in ("descending", "ascending"):
        heading.click()
        assert heading.locator("xpath=..").get_attribute("aria-sort") == direction
        values.append([float(cell) for cell in page.locator("#scores tbody tr td:nth-child(3)").all_inner_texts()])
    assert values[0] == sorted(values[0], reverse=True)
    assert values[1] == sorted(values[0])
    assert len(values[0]) == HEADS


def test_nothing_is_wider_than_the_screen_and_axe_finds_no_serious_fault(every_look: Watched) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = every_look.page
    page.locator("#list .row").nth(0).click()
    page.locator("#list .row").nth(1).click()
    page.locator("#settings summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    faults: list[dict[str, Any]] = axe.Axe().run(page).response["violations"]
    assert [(fault["id"], fault["impact"]) for fault in faults if fault["impact"] in ("serious", "critical")] == []


def test_the_theme_can_be_changed(every_look: Watched) -> None:
    page = every_look.page
    colour = "getComputedStyle(document.body).backgroundColor"
    before, offered = page.evaluate(colour), page.locator("#theme").inner_text()
    page.click("#theme")
    assert page.evaluate(colour) != before
    assert {offered, page.locator("#theme").inner_text()} == {"Light", "Dark"}


def test_the_page_opens_filters_and_scrolls_within_a_second(browser: Browser, big_page: Path) -> None:
    page = browser.new_page()
    openings = []
    for _ in range(3):
        started = time.monotonic()
        page.goto(big_page.as_uri())
        page.locator("#list .row").first.wait_for()
        openings.append(time.monotonic() - started)
    # The fastest: what else the machine does is not the page's.
    opened = min(openings)
    filtered = []
    for name, value in (("answers", "disagree"), ("label", "1"), ("order", "sure"), ("answers", "")):
        milliseconds = page.evaluate(
            """([name, value]) => new Promise((done) => {
                const select = document.getElementById("f-" + name), started = performance.now();
                select.value = value;
                select.dispatchEvent(new Event("input", { bubbles: true }));
                requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
            })""",
            [name, value],
        )
        filtered.append(milliseconds / 1000)
    page.click("button[type=reset]")
    started = time.monotonic()
    # To the end of the list: every row gets made.
    page.evaluate(
        """async () => { const box = document.getElementById("box"), more = document.getElementById("more");
            while (!more.hidden) { box.scrollTop = box.scrollHeight; await new Promise(requestAnimationFrame); } }"""
    )
    scrolled = time.monotonic() - started
    print(f"\nopened in {opened:.2f} s, filtered in at most {max(filtered):.2f} s, scrolled to the end in {scrolled:.1f} s")
    assert opened < 1
    assert max(filtered) < 1
    assert page.locator("#list > li").count() == UTTERANCES
    page.close()
