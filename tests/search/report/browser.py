"""A headless Chromium, driven over its debugging pipe: pages, keys, colours, screenshots. No network is used."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def chromium():
    """The browser's path, or None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of one browser process. What the page logs, throws or asks the network for is in `events`."""

    def __init__(self, profile: Path):
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # Chromium reads commands from descriptor 3 and answers on 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", *command]
        self._process = subprocess.Popen(shell, pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL)
        os.close(to_read), os.close(to_write)
        self._buffer, self._number, self.events = b"", 0, []
        self._session = None
        target = next(t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self("Emulation.setFocusEmulationEnabled", enabled=True)

    def __call__(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        return self._until(lambda m: m.get("id") == self._number).get("result", {})

    def _until(self, wanted):
        while True:
            message = self._next()
            if wanted(message):
                assert "error" not in message, message["error"]
                return message
            self.events.append(message)

    def _next(self):
        while b"\0" not in self._buffer:
            self._buffer += os.read(self._read, 1 << 20) or self._gone()
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _gone(self):
        raise RuntimeError(f"the browser ended with status {self._process.wait()}")

    def open(self, path: Path):
        self.events.clear()
        self("Page.navigate", url=path.absolute().as_uri())
        if not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._until(lambda m: m.get("method") == "Page.loadEventFired"))

    def view(self, width, height, *, dark=False, phone=False):
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, expression):
        """The value of a JavaScript expression, as plain data."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key):
        for kind in ("rawKeyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowLeft": 37, "End": 35}[key]
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path):
        """The whole page as a picture."""
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self):
        self("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._read), os.close(self._write)
