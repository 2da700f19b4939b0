#!/usr/bin/env python3
"""Trains in headless Firefox, by WebGPU on SwiftShader, with the page and the package that web/build has made.

    tests/web/firefox.py [--plain]

--plain leaves out the package's workaround for Firefox's timer, to see what it is worth. Needs Debian's firefox-esr and chromium-common, which has SwiftShader, and the
Python module websocket-client. Run by hand: Firefox has WebGPU on Linux only where its preferences say so."""

import argparse
import functools
import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

import websocket

here = pathlib.Path(__file__).resolve().parents[2]
SITE = here / "target/web/site"
# It works while it is asked, as a GPU does; Mesa's lavapipe has done all by the time that a submission was handed over, which hides what waits for a timer.
SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json"
# Both are needed: on Linux, Firefox 153 has WebGPU off, and blocks software drivers.
PREFERENCES = {"dom.webgpu.enabled": True, "gfx.webgpu.ignore-blocklist": True}

FIRST = """
  const { Dataset, Trainer } = await import('/wgrad/index.js');
  const bytes = async (name) => new Uint8Array(await (await fetch(`/data/${name}`)).arrayBuffer());
  const mnist = async (kind) => Dataset.idx(await bytes(`${kind}-images-idx3-ubyte.gz`), await bytes(`${kind}-labels-idx1-ubyte.gz`));
  const trained = async (trainer, set, options) => {
    const began = performance.now(), epochs = [], at = [];
    const onProgress = ({ step }) => at.push([Math.round(performance.now() - began), step]);
    for await (const epoch of trainer.fit(set, { ...options, onProgress })) epochs.push(epoch);
    return { epochs, progress: { count: at.length, first: at.slice(0, 5) }, seconds: (performance.now() - began) / 1e3 };
  };
  const timed = async (work) => { const began = performance.now(); await work(); return (performance.now() - began) / 1e3; };
"""
PACKAGE = f"""(async () => {{{FIRST}
  const [train, test] = [await mnist('train'), await mnist('t10k')];
  const trainer = await Trainer.create({{ layers: [{{ dense: 256, activation: 'relu' }}, {{ dense: 10 }}], epochs: 1, seed: 7 }});
  const result = await trained(trainer, train, {{ validation: test }});
  await trainer.classify(test);
  return {{ ...result, secondsToClassify10000: await timed(() => trainer.classify(test)) }};
}})()"""
# The other networks of the page, a few steps of each.
OTHERS = f"""(async () => {{{FIRST}
  const text = 'to be or not to be, that is the question. '.repeat(40);
  const letters = await Dataset.text(text, 64);
  const images = await (await mnist('t10k')).slice(0, 256);
  const table = await Dataset.table('a,b,c\\n' + Array.from({{ length: 200 }}, (_, at) => `${{at % 7}},${{at % 5}},${{at % 2 ? 'x' : 'y'}}\\n`).join(''), {{ label: 'c' }});
  const networks = {{
    convnet: [images, [{{ conv: 32, kernel: 3, activation: 'relu' }}, {{ max_pool: 2 }}, {{ conv: 64, kernel: 3, activation: 'relu' }}, {{ max_pool: 2 }}, {{ flatten: true }}, {{ dropout: 0.5 }}, {{ dense: 10 }}], {{ initializer: 'he-uniform' }}],
    gpt: [letters, [{{ embedding: 64, vocabulary: letters.vocabulary }}, {{ positions: 64 }},
      {{ repeat: 2, layers: [{{ residual: [{{ layer_norm: true }}, {{ attention: 4, causal: true }}] }}, {{ residual: [{{ layer_norm: true }}, {{ dense: 256, activation: 'gelu' }}, {{ dense: 64 }}] }}] }},
      {{ layer_norm: true }}, {{ dense: letters.vocabulary }}], {{ optimizer: {{ kind: 'adamw', lr: 0.003 }}, initializer: 'normal:0.02', clipGradNorm: 1 }}],
    table: [await table.standardized(), [{{ dense: 64, activation: 'relu' }}, {{ dense: 64, activation: 'relu' }}, {{ dense: table.classes }}], {{}}],
  }};
  const results = {{}};
  for (const [name, [set, layers, options]] of Object.entries(networks)) {{
    try {{
      const trainer = await Trainer.create({{ layers, steps: 40, ...options }});
      results[name] = await trained(trainer, set, {{}});
      if (name === 'gpt') results.secondsToWrite20 = await timed(async () => {{ results.written = await trainer.generate('to be', {{ count: 20, temperature: 0 }}); }});
    }} catch (error) {{ results[name] = error.message; }}
  }}
  return results;
}})()"""
# Steps that take the device microseconds, as those of small networks take a GPU: a loop that waits for a timer stalls most with them.
STALL = f"""(async () => {{{FIRST}
  const rows = 160000, width = 8;
  const features = new Float32Array(rows * width).map((_, at) => Math.sin(at * 1.7));
  const set = await Dataset.rows(features, width, new Uint32Array(rows).map((_, at) => (features[at * width] > 0 ? 1 : 0)));
  return trained(await Trainer.create({{ layers: [{{ dense: 2 }}], epochs: 1 }}), set, {{}});
}})()"""


class Handler(http.server.SimpleHTTPRequestHandler):
    is_plain = False

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path != "/wgrad/worker.js" or not self.is_plain:
            return super().do_GET()
        own = (SITE / "wgrad/worker.js").read_text()
        asked = "navigator.userAgent.includes('Firefox')"
        assert own.count(asked) == 1
        content = own.replace(asked, "false").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Firefox:
    """Headless Firefox, driven by WebDriver BiDi."""

    def __init__(self, profile, port=9223):
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        pathlib.Path(profile, "user.js").write_text("".join(lines))
        # No file of this user's home is read or written.
        environment = {**os.environ, "HOME": profile, "VK_DRIVER_FILES": SWIFTSHADER, "VK_ICD_FILENAMES": SWIFTSHADER}
        self.log = open(pathlib.Path(profile, "firefox.log"), "w+")
        command = ["firefox-esr", "--headless", "--profile", profile, "--remote-debugging-port", str(port), "about:blank"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=environment)
        end = time.monotonic() + 60
        while True:
            try:
                self.socket = websocket.create_connection(f"ws://127.0.0.1:{port}/session", timeout=600, suppress_origin=True)
                break
            except OSError:
                assert time.monotonic() < end and self.process.poll() is None, "Firefox did not start"
                time.sleep(0.3)
        self.count, self.said = 0, []
        self.version = self.ask("session.new", capabilities={})["capabilities"]["browserVersion"]
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.context = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method, **parameters):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                assert answer["type"] == "success", answer
                return answer["result"]
            if answer.get("method") == "log.entryAdded":
                self.said.append(f"{answer['params']['level']}: {answer['params']['text']}")

    def open(self, url):
        self.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def evaluate(self, expression):
        text = f"(async () => JSON.stringify(await ({expression})))()"
        answer = self.ask("script.evaluate", expression=text, target={"context": self.context}, awaitPromise=True)
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))

    def close(self):
        try:
            self.ask("browser.close")
            self.process.wait(20)
        except Exception:
            self.process.kill()
            self.process.wait()


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--plain", action="store_true")
    Handler.is_plain = words.parse_args().plain
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        firefox = Firefox(profile)
        try:
            print(f"Firefox {firefox.version}, {'without' if Handler.is_plain else 'with'} the workaround")
            firefox.open(f"http://127.0.0.1:{server.server_port}/")
            epoch = firefox.evaluate(PACKAGE)
            print(f"an epoch of MNIST in {epoch['seconds']:.1f} s, 10,000 rows classified in {epoch['secondsToClassify10000']:.2f} s")
            assert epoch["epochs"][0]["validationAccuracy"] > 0.95, epoch
            print(f"5,000 steps of a network of 8-2 in {firefox.evaluate(STALL)['seconds']:.1f} s")
            others = firefox.evaluate(OTHERS)
            for name in ["convnet", "gpt", "table"]:
                assert isinstance(others[name], dict) and others[name]["epochs"], (name, others[name])
            assert not firefox.said, firefox.said
        finally:
            firefox.close()
            server.shutdown()
    print("ok: it trains, and nothing is on the console")


main()
