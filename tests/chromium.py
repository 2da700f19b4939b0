"""Headless Chromium, driven by its DevTools."""

import base64
import json
import subprocess
import sys
import threading

import websocket


class Browser:
    def __init__(self, chromium, profile, *flags):
        self.process = subprocess.Popen(
            [chromium, "--headless", "--no-sandbox", "--remote-debugging-port=0",
             "--remote-allow-origins=*", f"--user-data-dir={profile}", *flags, "about:blank"],
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if line.startswith("DevTools listening on "):
                address = line.split()[-1]
                break
        else:
            sys.exit("chromium did not start")
        # Nobody reads what it says later, and a full pipe would stop it.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
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

    def look(self, width, scheme):
        """Sets the width and the colours of what is shown."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url):
        self.told = []
        self.ask("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def evaluate(self, expression):
        """The value of an expression in the page; a promise's once it is there."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, path, width, height):
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]))

    def complaints(self):
        """What was said on the console, and what was thrown."""
        return [event for event in self.told
                if event.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")]

    def requests(self):
        return [event["params"]["request"]["url"] for event in self.told
                if event.get("method") == "Network.requestWillBeSent"]

    def close(self):
        self.ask("Browser.close")
        self.process.wait(timeout=30)
