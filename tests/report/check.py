"""Opens reports in headless Chromium, at the width of a phone and of a desk, by day and by night.

    check.py CHROMIUM REPORT.html...      pictures of each go beside it: report-360.png, ...

What must hold: no word on the console, nothing asked of the network, every picture decoded, no sideways scrolling, letters that can be read.
"""

import base64
import json
import pathlib
import subprocess
import sys
import tempfile

import websocket

VIEWS = [(360, "light"), (360, "dark"), (1200, "light"), (1200, "dark")]

# What is asked of the page itself.
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
    ink: getComputedStyle(document.body).color,
    paper: getComputedStyle(document.body).backgroundColor,
  };
})()
"""


class Browser:
    def __init__(self, chromium, profile):
        self.process = subprocess.Popen(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             "--remote-allow-origins=*", f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if line.startswith("DevTools listening on "):
                address = line.split()[-1]
                break
        else:
            sys.exit("chromium did not start")
        self.socket = websocket.create_connection(address, timeout=60)
        self.count, self.told, self.session = 0, [], None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]
            self.told.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.told):
            self.told.append(json.loads(self.socket.recv()))

    def open(self, page, width, scheme):
        self.told = []
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")
        seen = self.ask("Runtime.evaluate", expression=PROBE, returnByValue=True)["result"]["value"]
        clip = {"x": 0, "y": 0, "width": width, "height": seen["height"], "scale": 1}
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        page.with_name(f"{page.stem}-{width}-{scheme}.png").write_bytes(base64.b64decode(picture))
        complaints = [event for event in self.told
                      if event.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")]
        asked = [event["params"]["request"]["url"] for event in self.told
                 if event.get("method") == "Network.requestWillBeSent"]
        return seen, complaints, [url for url in asked if not url.startswith(("data:", page.as_uri()))]

    def close(self):
        self.ask("Browser.close")
        self.process.wait(timeout=30)


def main():
    chromium, *pages = sys.argv[1:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(chromium, profile)
        for page in map(pathlib.Path, pages):
            page, papers = page.resolve(), {}
            for width, scheme in VIEWS:
                seen, complaints, asked = browser.open(page, width, scheme)
                view = f"{page}, {width} wide, {scheme}: "
                assert not complaints, view + str(complaints)
                assert not asked, view + f"it asks for {asked}"
                assert seen["scripts"] == 0, view + "a script"
                assert seen["undecoded"] == 0, view + f"{seen['undecoded']} of {seen['pictures']} pictures are not there"
                assert seen["drawings"] >= 1 and "Curves" in seen["headings"], view + str(seen)
                assert seen["overflow"] <= 0 and not seen["outside"], view + f"too wide by {seen['overflow']}: {seen['outside'][:5]}"
                assert seen["smallest"] >= 8.5, view + f"letters of {seen['smallest']} pixels"
                papers.setdefault(scheme, (seen["ink"], seen["paper"]))
            assert papers["light"] == papers["dark"][::-1] or papers["light"] != papers["dark"], papers
            print(f"{page.name}: {seen['pictures']} pictures, {seen['drawings']} drawings, {', '.join(seen['headings'])}")
        browser.close()


main()
