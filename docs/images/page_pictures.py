"""Makes the pictures of the page in this folder: eight rows with long names over the corpus of the demo.

    python docs/images/page_pictures.py FOLDER

FOLDER gets the demo and the grid `eight-rows.toml`, a quarter of an hour on two cores; what is there already is taken as
it is. Needs chromium and `pip install -e ".[browser]"`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
UTTERANCE = "Ses02F_impro01_F003"
"""What the pictures of an opened utterance show."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESK, PHONE = 1440, 390
"""Widths of the window, in pixels."""


def make_page(folder: Path) -> Path:
    """The report over the grid, made by the commands that users give."""
    demo = folder / "demo"
    if not (demo / "report" / "index.html").exists():
        mer("demo", "--to", demo)
    mer("report", demo / "runs", "--to", folder / "demo-report", "--corpus", demo / "IEMOCAP_synthetic")
    shutil.copyfile(folder / "demo-report" / "figures" / "ua-by-head.png", HERE / "ua-by-head.png")
    runs = folder / "eight"
    mer("grid", HERE / "eight-rows.toml", "--cache", demo / "features", "--runs", runs)
    (grid,) = (file.parent for file in runs.glob("*/grid.json"))
    report = folder / "eight-report"
    mer("report", grid, "--to", report, "--corpus", demo / "IEMOCAP_synthetic")
    return report / "index.html"


def mer(*arguments: str | Path) -> None:
    """Run one command of mer, and stop where it fails."""
    subprocess.run([sys.executable, "-m", "mer.cli", *map(str, arguments)], check=True)


def opened(browser: Browser, address: str, width: int, height: int, theme: str) -> Page:
    """The page in a window of this size and theme."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page.goto(address)
    page.locator("#list .row").first.wait_for()
    return page


def take_pictures(page_file: Path, folder: Path) -> None:
    """Each picture, in the window that it is looked at in."""
    address = page_file.as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            for name, width, height in (("page", DESK, 1340), ("page-phone", PHONE, 1340)):
                opened(browser, address, width, height, theme).screenshot(path=folder / f"{name}-{theme}.png")
            for name, width in (("figures", DESK), ("figures-phone", PHONE)):
                page = opened(browser, address, width, 1500, theme)
                page.locator("#figures").evaluate("section => section.scrollIntoView({ behavior: 'instant' })")
                page.screenshot(path=folder / f"{name}-{theme}.png")
        for name, width, theme in (("utterance", DESK, "light"), ("utterance-phone", PHONE, "dark")):
            page = opened(browser, f"{address}#utterance={UTTERANCE}", width, 1500, theme)
            page.locator("#utterances").screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    take_pictures(make_page(Path(sys.argv[1]).resolve()), HERE)
