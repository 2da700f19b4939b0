"""Trains in headless Chromium, on SwiftShader by WebGPU, with the page and the package that web/build has made.

    check.py FOLDER [CHROMIUM]      pictures of the page at the widths of a phone and of a desk are left in FOLDER

What must hold: the page learns MNIST, reads a drawn digit and a table, saves a model, says what is wrong; nothing is said on the console, nothing is asked of another
host; the package trains to the weights that the program has on SwiftShader, and its saved model predicts in the program what it predicts in the page.
"""

import base64
import contextlib
import functools
import gzip
import http.server
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Browser  # noqa: E402

PROGRAM = ROOT / "target/debug/wgrad"
SITE = ROOT / "target/web/site"
WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
MOST_BYTES = 1_500_000

# A short training by the package: what the program is asked to do as well.
STEPS, ROWS = 150, 200
TRAIN = f"""
(async () => {{
  const {{ Dataset, Trainer }} = await import('/wgrad/index.js');
  const bytes = async (name) => new Uint8Array(await (await fetch(`/data/${{name}}`)).arrayBuffer());
  const set = async (kind) => Dataset.idx(await bytes(`${{kind}}-images-idx3-ubyte.gz`), await bytes(`${{kind}}-labels-idx1-ubyte.gz`));
  const [train, test] = [await set('train'), await set('t10k')];
  const trainer = await Trainer.create({{ layers: [{{ dense: 256, activation: 'relu' }}, {{ dense: 10 }}], steps: {STEPS}, seed: 7 }});
  const epochs = [];
  for await (const epoch of trainer.fit(train)) epochs.push(epoch);
  const model = await trainer.model();
  const predictions = await trainer.predict(await test.slice(0, {ROWS}));
  let text = '';
  for (const byte of model) text += String.fromCharCode(byte);
  return {{ epochs, model: btoa(text), predictions: [...predictions] }};
}})()
"""

# A GPT of a few steps writes; and errors of the package in words.
OTHERS = """
(async () => {
  const { Dataset, Trainer } = await import('/wgrad/index.js');
  const text = 'to be or not to be, that is the question. '.repeat(40);
  const [train, validation] = await (await Dataset.text(text, 16)).split(0.1);
  const layers = [
    { embedding: 16, vocabulary: train.vocabulary }, { positions: 16 },
    { residual: [{ layer_norm: true }, { attention: 2, causal: true }] }, { layer_norm: true }, { dense: train.vocabulary },
  ];
  const gpt = await Trainer.create({ layers, steps: 40, optimizer: { kind: 'adamw', lr: 0.01 } });
  for await (const epoch of gpt.fit(train, { validation })) void epoch;
  const written = await gpt.generate('to be', { count: 20, temperature: 0.5, seed: 1 });
  const said = async (work) => { try { await work(); return 'nothing'; } catch (error) { return error.message; } };
  const rows = await Dataset.rows(new Float32Array(40).map((_, at) => at / 40), 2, new Uint32Array(20).map((_, at) => at % 2));
  const broken = await Trainer.create({ layers: [{ dense: 60000 }, { dense: 60000 }, { dense: 2 }] });
  const stopped = await Trainer.create({ layers: [{ dense: 2 }], epochs: 1000000 });
  let turns = 0;
  for await (const epoch of stopped.fit(rows)) { if (++turns === 2) break; void epoch; }
  return {
    written, turns,
    kind: await said(() => Trainer.create({ layers: [{ dens: 2 }] })),
    option: await said(() => Trainer.create({ layers: [{ dense: 2 }], batchsize: 3 })),
    large: await said(async () => { for await (const epoch of broken.fit(rows)) void epoch; }),
    untrained: await said(async () => (await Trainer.create({ layers: [{ dense: 2 }] })).model()),
    table: await said(() => Dataset.table('a,b\\n1,x\\n,y\\n')),
    again: await said(async () => { for await (const epoch of stopped.fit(rows)) { void epoch; break; } }),
  };
})()
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def tensors(data):
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    bounds = lambda about: slice(8 + size + about["data_offsets"][0], 8 + size + about["data_offsets"][1])
    return {name: data[bounds(about)] for name, about in header.items()}


def wait_for(browser, expression, seconds):
    """Waits until an expression is true in the page. The page's own words are in the error."""
    end = time.monotonic() + seconds
    while not browser.evaluate(f"Boolean({expression})"):
        words = browser.evaluate("document.getElementById('words')?.textContent")
        assert time.monotonic() < end, f"after {seconds} s: {expression}; the page says: {words}"
        time.sleep(0.5)


def click(browser, selector):
    browser.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


def train_in_page(browser, seconds):
    click(browser, "#start")
    wait_for(browser, "!document.getElementById('start').disabled && document.getElementById('words').textContent", seconds)
    words = browser.evaluate("document.getElementById('words').textContent")
    assert words.startswith("Trained in"), words


def draw_one(browser):
    """A digit 1, drawn with the mouse."""
    browser.evaluate("document.getElementById('canvas').scrollIntoView()")
    box = browser.evaluate("(({ x, y, width, height }) => [x, y, width, height])(document.getElementById('canvas').getBoundingClientRect())")
    point = lambda down: {"x": box[0] + box[2] * (0.55 - 0.1 * down), "y": box[1] + box[3] * (0.15 + 0.7 * down)}
    mouse = lambda kind, down: browser.ask("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **point(down))
    mouse("mousePressed", 0)
    for part in range(1, 11):
        mouse("mouseMoved", part / 10)
    mouse("mouseReleased", 1)
    wait_for(browser, "document.getElementById('digit').textContent !== '?'", 20)
    return browser.evaluate("document.getElementById('digit').textContent")


def pictures(browser, folder, name):
    for width in (360, 1200):
        for scheme in ("light", "dark"):
            browser.look(width, scheme)
            found = browser.evaluate("[document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight]")
            assert found[0] <= 0, f"{name}: {found[0]} pixels wider than a screen of {width}"
            browser.picture(folder / f"{name}-{width}-{scheme}.png", width, found[1])
    browser.look(1200, "light")


def check_page(browser, url, folder):
    browser.look(1200, "light")
    browser.open(url)
    browser.evaluate("document.getElementById('epochs').value = 1")
    began = time.monotonic()
    train_in_page(browser, 300)
    row = browser.evaluate("[...document.querySelectorAll('#epochs-table tbody td')].map((cell) => cell.textContent)")
    print(f"an epoch of MNIST in the page: {row}; {time.monotonic() - began:.0f} s with all else", flush=True)
    accuracy = float(row[3].split()[0]) / 100
    assert accuracy > 0.95, row
    points = browser.evaluate("document.getElementById('line').getAttribute('points')").split()
    heights = [float(point.split(",")[1]) for point in points]
    assert len(points) > 10 and heights[-1] > heights[0] + 50, f"the loss did not fall: {points[:3]} … {points[-3:]}"
    shown = browser.evaluate("['#mistakes-pictures figure', '#filters-pictures figure'].map((what) => document.querySelectorAll(what).length)")
    assert shown == [18, 32], shown
    assert draw_one(browser) == "1"

    saved = folder / "dense.safetensors"
    saved.unlink(missing_ok=True)
    browser.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    click(browser, "#save")
    end = time.monotonic() + 20
    while not saved.exists():
        assert time.monotonic() < end, "no model was saved"
        time.sleep(0.2)
    time.sleep(0.5)
    judged = json.loads(wgrad("evaluate", "--model", saved, "--json").splitlines()[-1])
    assert abs(judged["accuracy"] - accuracy) < 6e-4, (judged, accuracy)
    pictures(browser, folder, "digits")

    table = folder / "flowers.csv"
    some = random.Random(2)
    kinds = [("rose", 0, 1), ("tulip", 2, -1), ("lily", -2, 0)]
    rows = [f"{some.gauss(a, 0.5):.4f},{some.gauss(b, 0.5):.4f},{kind}" for _ in range(200) for kind, a, b in kinds]
    table.write_text("\n".join(["length,width,kind", *rows]) + "\n")
    click(browser, "[value=table]")
    root = browser.ask("DOM.getDocument")["root"]["nodeId"]
    node = browser.ask("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.ask("DOM.setFileInputFiles", nodeId=node, files=[str(table)])
    wait_for(browser, "document.getElementById('about-table').textContent.includes('600 rows')", 20)
    browser.evaluate("document.getElementById('epochs').value = 8")
    train_in_page(browser, 120)
    right = browser.evaluate("document.getElementById('accuracy').textContent")
    assert float(right.split()[0]) > 90, right
    pictures(browser, folder, "table")
    # A column of numbers is learned as numbers.
    browser.evaluate("document.getElementById('label').value = 'length'")
    browser.evaluate("document.getElementById('epochs').value = 2")
    train_in_page(browser, 120)
    losses = browser.evaluate("[...document.querySelectorAll('#epochs-table tbody tr')].map((row) => Number(row.cells[2].textContent))")
    assert len(losses) == 2 and 0 < losses[1] < losses[0] < 10, losses
    # An empty cell is told by its line, and may be filled; until then the last model is there.
    rows[7] = "," + rows[7].split(",", 1)[1]
    gaps = folder / "gaps.csv"
    gaps.write_text("\n".join(["length,width,kind", *rows]) + "\n")
    browser.ask("DOM.setFileInputFiles", nodeId=node, files=[str(gaps)])
    wait_for(browser, "document.getElementById('about-table').textContent.includes('(line 9), column \"length\": the cell is empty')", 20)
    click(browser, "#start")
    wait_for(browser, "document.getElementById('words').textContent.includes('there is no table yet')", 20)
    assert not browser.evaluate("document.getElementById('save').disabled")
    browser.evaluate("document.getElementById('fill').value = 'mean'; document.getElementById('fill').onchange()")
    wait_for(browser, "document.getElementById('about-table').textContent.includes('600 rows')", 20)
    assert browser.evaluate("document.getElementById('words').textContent") == ""


def wgrad(*words, **environment):
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, env={**os.environ, **environment}, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_package(browser, folder):
    """The package beside the program on the same driver, under the limits of WebGPU."""
    trained = browser.evaluate(TRAIN)
    model = folder / "package.safetensors"
    model.write_bytes(base64.b64decode(trained["model"]))
    command = [ROOT / ".ci/adapters", PROGRAM, "train", "--steps", str(STEPS), "--seed", "7", "--screen", "none", "--save", str(folder / "program.safetensors")]
    done = subprocess.run(command, env={**os.environ, "ADAPTERS": "swiftshader", "WGRAD_LIMITS": "webgpu"}, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page, program = tensors(model.read_bytes()), tensors((folder / "program.safetensors").read_bytes())
    assert page.keys() == program.keys(), (page.keys(), program.keys())
    for name, data in page.items():
        assert data == program[name], f"{name} has other bits in the page than in the program on SwiftShader"

    rows = folder / "rows.csv"
    images = gzip.decompress((SITE / "data/t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    # A model of bytes takes numbers of a table as they are, from 0 to 1.
    line = lambda at: ",".join(str(value / 255) for value in images[784 * at : 784 * (at + 1)])
    rows.write_text("".join(line(at) + "\n" for at in range(ROWS)))
    lines = wgrad("predict", "--model", model, "--input", rows, "--json").splitlines()
    program = [event["probabilities"] for event in map(json.loads, lines) if "probabilities" in event]
    page = [trained["predictions"][10 * at : 10 * (at + 1)] for at in range(ROWS)]
    worst = max(abs(a - b) for ours, theirs in zip(page, program, strict=True) for a, b in zip(ours, theirs, strict=True))
    assert worst < 1e-5, worst
    print(f"{STEPS} steps have the bits of the program on SwiftShader; its predictions of {ROWS} rows are within {worst:.1e}", flush=True)


def check_others(browser):
    said = browser.evaluate(OTHERS)
    assert len(said["written"]) == 20 and said["turns"] == 2, said
    for call, words in {
        "kind": "dens", "option": "batchsize", "large": "the browser's adapter can bind at most", "untrained": "the first epoch of a fit has to end before", "table": "the cell is empty", "again": "nothing",
    }.items():
        assert words in said[call], (call, said[call])
    print(f"a GPT writes {said['written']!r}; a network too large: {said['large']}", flush=True)


def check_tabs_and_loss(browser, url):
    """Two tabs train; one is closed; the device is lost, which is said, and the page can train again."""
    is_training = "Number(document.getElementById('progress').value) > 0 && document.getElementById('start').disabled"
    browser.open(url)
    click(browser, "#start")
    wait_for(browser, is_training, 120)
    first, browser.session = browser.session, None
    target = browser.ask("Target.createTarget", url=url)["targetId"]
    browser.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    wait_for(browser, "document.readyState === 'complete' && document.getElementById('start')?.disabled === false", 30)
    click(browser, "#start")
    wait_for(browser, is_training, 120)
    browser.session = None
    browser.ask("Target.closeTarget", targetId=target)
    browser.session = first
    at = browser.evaluate("document.getElementById('progress').value")
    wait_for(browser, f"document.getElementById('progress').value !== {at}", 60)

    browser.session = None
    browser.ask("Browser.crashGpuProcess")
    browser.session = first
    wait_for(browser, "!document.getElementById('start').disabled", 60)
    said = browser.evaluate("document.getElementById('words').textContent")
    assert "was lost" in said, said
    click(browser, "#start")
    wait_for(browser, is_training, 120)
    print(f"a device that was lost: {said}", flush=True)


def check_without_webgpu(chromium, url):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        with contextlib.closing(Browser(chromium, profile, "--disable-gpu", "--disable-features=WebGPU,WebGPUService")) as browser:
            browser.open(url)
            browser.evaluate("Object.defineProperty(navigator, 'gpu', { value: undefined, configurable: true })")
            said = browser.evaluate("import('/wgrad/index.js').then(({ Trainer }) => Trainer.create({ layers: [] })).catch((error) => error.message)")
            assert "has no WebGPU" in said, said


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    chromium = sys.argv[2] if len(sys.argv) > 2 else shutil.which("chromium-headless-shell") or sys.exit("there is no chromium-headless-shell")
    folder.mkdir(parents=True, exist_ok=True)
    module = (SITE / "wgrad/wgrad_web_bg.wasm").read_bytes()
    size = len(gzip.compress(module, 9))
    assert size <= MOST_BYTES, f"the module takes {size} bytes, gzipped"
    url = serve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, contextlib.closing(Browser(chromium, profile, *WEBGPU)) as browser:
        browser.socket.settimeout(300)
        check_page(browser, url, folder)
        check_package(browser, folder)
        check_others(browser)
        complaints = browser.complaints()
        assert not complaints, complaints[:3]
        foreign = [asked for asked in browser.requests() if not asked.startswith((url, "data:", "blob:"))]
        assert not foreign, foreign
        check_tabs_and_loss(browser, url)
    check_without_webgpu(chromium, url)
    print(f"ok: the module takes {size} bytes, gzipped")


main()
