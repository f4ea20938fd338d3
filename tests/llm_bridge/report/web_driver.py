"""Just enough of the W3C WebDriver protocol to look at a page in headless Chromium; standard library alone."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()


class Browser:
    """One session: `open`, `run` a script, `press` a key, `screenshot`, and what the browser logged."""

    def __init__(self, address, session):
        self._address = f"{address}/session/{session}"

    def _call(self, path, body=None):
        return call(self._address + path, body)

    def open(self, url):
        self._call("/url", {"url": url})

    def run(self, script, *arguments):
        return self._call("/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, key):
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("/actions", {"actions": [{"type": "key", "id": "keys", "actions": keys}]})

    def devtools(self, command, **parameters):
        return self._call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def view(self, width, height, *, dark=False):
        """Size of the window in CSS pixels, and the colour scheme the reader prefers."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self):
        return base64.b64decode(self._call("/screenshot"))

    def console(self):
        return self._call("/se/log", {"type": "browser"})

    def requests(self):
        """Addresses of everything that pages from files asked for (the browser's own start page is not ours)."""
        events = [json.loads(entry["message"])["message"] for entry in self._call("/se/log", {"type": "performance"})]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent if params["documentURL"].startswith("file:")]


@contextlib.contextmanager
def browser():
    """A fresh headless browser with an empty profile."""
    with tempfile.TemporaryDirectory() as profile, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        driver = subprocess.Popen(
            [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(address)
            options = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = call(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            try:
                yield Browser(address, session)
            finally:
                call(f"{address}/session/{session}", method="DELETE")
        finally:
            driver.terminate()
            driver.wait(timeout=10)


def call(url, body=None, method=None):
    """One command; the `value` of its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["value"]["message"]) from error


def _wait_until_ready(address):
    for _ in range(200):
        with contextlib.suppress(OSError):
            if call(f"{address}/status")["ready"]:
                return
        time.sleep(0.05)
    raise RuntimeError("chromedriver did not start")
