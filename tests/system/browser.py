"""Headless Chromium, driven over the WebDriver protocol.

chromedriver is a program that listens on loopback and takes orders as JSON over
HTTP.  A `Browser` starts it and one window; everything ends with the `with` that
began it, and every wait has an end.  Console messages and the requests that pages
made are read from its logs.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from harness import free_port

START_S = 30        # a busy machine starts a browser slowly
ORDER_S = 30


def missing():
    """What is not installed, as a reason to skip; None when all is there."""
    for program, package in (("chromium", "chromium"),
                             ("chromedriver", "chromium-driver")):
        if not shutil.which(program):
            return f"no {program} (package {package})"
    return None


class BrowserError(Exception):
    pass


class Browser:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="larder-browser-")
        self.port, self.session = free_port(), None
        env = os.environ | {"HOME": self.dir, "TMPDIR": self.dir}
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.driver = subprocess.Popen(
                ["chromedriver", f"--port={self.port}"], env=env,
                cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)
        try:
            self._await_driver()
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if self.session:
                self._order("DELETE", "")
        except (OSError, BrowserError):
            pass
        # What is left is in the group that was begun for it.
        try:
            os.killpg(self.driver.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.driver.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _await_driver(self):
        deadline = time.monotonic() + START_S
        while True:
            try:
                if self._call("GET", "/status")["ready"]:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline or self.driver.poll() is not None:
                raise BrowserError("chromedriver does not start")
            time.sleep(0.05)

    def _open(self):
        arguments = ["--headless=new", "--disable-gpu", "--hide-scrollbars",
                     "--disable-dev-shm-usage", "--no-first-run",
                     "--disable-background-networking",
                     "--disable-component-update", "--disable-sync",
                     "--no-proxy-server", "--host-resolver-rules="
                     "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
                     f"--user-data-dir={self.dir}/profile", "about:blank"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")    # refuses to start otherwise
        wish = {"browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": {"args": arguments}}
        got = self._call("POST", "/session",
                         {"capabilities": {"alwaysMatch": wish}}, START_S)
        self.session = got["sessionId"]

    def _call(self, method, path, body=None, timeout=ORDER_S):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode())
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise BrowserError(json.load(error)["value"]["message"]) from None

    def _order(self, method, path, body=None):
        return self._call(method, f"/session/{self.session}{path}", body)

    # -- what tests use

    def go(self, url):
        self._order("POST", "/url", {"url": url})

    def run(self, script, *args):
        """The value of a script: the body of a function."""
        return self._order("POST", "/execute/sync",
                           {"script": script, "args": list(args)})

    def devtools(self, command, **params):
        return self._order("POST", "/goog/cdp/execute",
                           {"cmd": command, "params": params})

    def wait(self, script, timeout=20):
        """The script's value as soon as it is true."""
        deadline = time.monotonic() + timeout
        while not (got := self.run(script)):
            assert time.monotonic() < deadline, f"never: {script}"
            time.sleep(0.1)
        return got

    def size(self, width, height, phone=False):
        """Of the page, whatever the window's own least size is."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width,
                      height=height, deviceScaleFactor=1, mobile=phone)

    def scheme(self, name):
        """"light" or "dark", as the user's wish."""
        self.devtools("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path):
        with open(path, "wb") as out:
            out.write(base64.b64decode(self._order("GET", "/screenshot")))

    def console(self):
        """Messages since the last look, console and violations of policies."""
        return self._order("POST", "/se/log", {"type": "browser"})

    def requests(self):
        """URLs asked for since the last look."""
        events = [json.loads(entry["message"])["message"] for entry in
                  self._order("POST", "/se/log", {"type": "performance"})]
        return [e["params"]["request"]["url"] for e in events
                if e["method"] == "Network.requestWillBeSent"]
