"""Trains on images, tables and numbers with the program, and opens the reports in headless Chromium: at the width of a phone and of a desk, by day
and by night.

    check.py FOLDER [CHROMIUM]      what each looked like is left in FOLDER: digits/report-360-dark.png, ...

What must hold: no word on the console, nothing asked of the network, every picture decoded, no sideways scrolling, letters that can be read.
"""

import contextlib
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Browser  # noqa: E402

PROGRAM = ROOT / "target/debug/wgrad"
VIEWS = [(360, "light"), (360, "dark"), (1200, "light"), (1200, "dark")]

# The queries that run in the page.
PROBE = """
(() => {
  const pictures = [...document.images];
  const inside = (box) => box.left >= 0 && box.right <= innerWidth + 1;
  const scrolls = (e) => e.closest('.scroll') !== null;
  const letters = [...document.querySelectorAll('svg text')].map(
    (text) => text.getScreenCTM().a * parseFloat(getComputedStyle(text).fontSize));
  return {
    undecoded: pictures.filter((picture) => !(picture.complete && picture.naturalWidth > 0)).length,
    pictures: pictures.length,
    drawings: document.querySelectorAll('svg').length,
    headings: [...document.querySelectorAll('h2')].map((heading) => heading.textContent),
    scripts: document.scripts.length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    outside: [...document.querySelectorAll('body *')]
      .filter((e) => !scrolls(e) && !inside(e.getBoundingClientRect())).map((e) => e.outerHTML.slice(0, 80)),
    smallest: Math.min(...letters, parseFloat(getComputedStyle(document.body).fontSize)),
    height: document.documentElement.scrollHeight,
    paper: getComputedStyle(document.body).backgroundColor,
  };
})()
"""


def looked_at(browser, page, width, scheme):
    browser.look(width, scheme)
    browser.open(page.as_uri())
    found = browser.evaluate(PROBE)
    browser.picture(page.with_name(f"{page.stem}-{width}-{scheme}.png"), width, found["height"])
    return found, browser.complaints(), [url for url in browser.requests() if not url.startswith(("data:", page.as_uri()))]


def tables(folder):
    """Words that look like markup, long names without spaces, more classes than are numbered, and numbers to predict."""
    some = random.Random(1)
    kinds = ["<script>alert(1)</script>", "an" * 40, 'co & "co"']
    rows = [(kind, [some.gauss(at, 1), some.gauss(-at, 1), some.choice(["Oslo", "Rome"])])
            for at, kind in enumerate(kinds) for _ in range(100)]
    quoted = lambda word: '"' + str(word).replace('"', '""') + '"'
    lines = ["length,width <i>,city,kind"] + [",".join(map(quoted, cells + [kind])) for kind, cells in rows]
    (folder / "kinds.csv").write_text("\n".join(lines) + "\n")
    rows = [[some.uniform(-2, 2) for _ in range(12)] for _ in range(600)]
    (folder / "many.csv").write_text("".join(",".join(map(str, row)) + f",class {int(7 * (row[0] + 2))}\n" for row in rows))
    (folder / "numbers.csv").write_text("".join(",".join(map(str, row)) + f",{3 * row[0] - row[1] ** 2}\n" for row in rows))


RUNS = {
    "digits": ["--steps", "400", "--hidden", "64"],
    "images": ["--config", ROOT / "examples/convnet.toml", "--steps", "60"],
    "kinds": ["--data", "kinds.csv", "--validation", "0.3", "--epochs", "30", "--schedule", "cosine"],
    "many": ["--data", "many.csv", "--validation", "0.3", "--epochs", "3"],
    "yes": ["--data", "kinds.csv", "--loss", "sigmoid-cross-entropy", "--epochs", "1"],
    "numbers": ["--data", "numbers.csv", "--loss", "mse", "--epochs", "10"],
}
HAVE = {
    "digits": (26, ["Curves", "Confusion matrix", "Classes", "The 25 worst mistakes", "First layer", "Run"]),
    "images": (29, ["Curves", "Confusion matrix", "Classes", "The 25 worst mistakes", "Filters of the first convolution",
                    "What the convolutions make of an image", "Run"]),
    "kinds": (0, ["Curves", "Confusion matrix", "Classes", "The 25 worst mistakes", "Run"]),
    "many": (1, ["Curves", "Confusion matrix", "Classes", "The 25 worst mistakes", "Run"]),
    "yes": (0, ["Curves", "Classes", "The 25 worst mistakes", "Run"]),
    "numbers": (0, ["Curves", "Predicted and true", "The 25 worst mistakes", "Run"]),
}


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    chromium = sys.argv[2] if len(sys.argv) > 2 else "chromium-headless-shell"
    folder.mkdir(parents=True, exist_ok=True)
    tables(folder)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, contextlib.closing(Browser(chromium, profile, "--disable-gpu")) as browser:
        for name, options in RUNS.items():
            shutil.rmtree(folder / name, ignore_errors=True)
            subprocess.run([PROGRAM, "train", *options, "--out", name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            page, papers = folder / name / "report.html", {}
            for width, scheme in VIEWS:
                seen, complaints, asked = looked_at(browser, page, width, scheme)
                view = f"{name}, {width} wide, {scheme}: "
                assert not complaints, view + str(complaints)
                assert not asked, view + f"it asks for {asked}"
                assert seen["scripts"] == 0, view + "a script"
                assert seen["undecoded"] == 0, view + f"{seen['undecoded']} pictures are not there"
                assert (seen["pictures"], seen["headings"]) == HAVE[name], view + str(seen)
                assert seen["drawings"] >= 1, view + "no curves"
                assert seen["overflow"] <= 0 and not seen["outside"], view + f"too wide by {seen['overflow']}: {seen['outside'][:5]}"
                assert seen["smallest"] >= 8.5, view + f"letters of {seen['smallest']} pixels"
                papers[scheme] = seen["paper"]
            assert papers["light"] != papers["dark"], f"{name}: night is day"
            print(f"{name}: {seen['pictures']} pictures, {seen['drawings']} drawings")


main()
