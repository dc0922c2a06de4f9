"""The status page: what is served, and what Chromium makes of it."""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import browser
from harness import SERVFAIL, Larder, answer_default, free_port, reply, rr
from web import get, http_conf, samples

PAGE = Path(__file__).resolve().parents[2] / "src/control/page"
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
         "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FILES = {"/" + f.name.replace("index.html", ""): f.name
         for f in sorted(PAGE.iterdir()) if f.suffix[1:] in TYPES}
EVIL = "<img src=x onerror=document.title=1>"
EVIL_TEXT = "<img\\032src=x\\032onerror=document.title=1>.example."


# --- what is served ---------------------------------------------------------

@pytest.fixture(scope="module")
def served(module_upstream):
    """A larderd with a page, two upstreams of which one is dead, and names."""
    port, dead = free_port(), free_port()
    conf = http_conf(port, **{
        "metrics-names": True, "query-timeout": "1s",
        "upstreams": {"spare": {"url": f"127.0.0.1:{dead}"}},
        "routes": {"corp.example": ["spare"]}})
    with Larder(module_upstream, conf=conf) as larder:
        larder.http, larder.conf = port, conf
        yield larder


@pytest.mark.parametrize("path", FILES)
def test_files(served, path):
    """Octet by octet what lies in the tree, under the right type."""
    got = get(served.http, path)
    assert got.status == 200
    name = status(served)["page"]
    assert re.fullmatch(r"\d+\.\d+\.\S*-\d+", name)
    assert got.text == (PAGE / FILES[path]).read_text().replace(
        "@PAGE@", name)
    assert got.headers["Content-Type"] == TYPES[FILES[path].split(".")[-1]]
    head = get(served.http, path, "HEAD")
    assert head.status == 200 and head.text == ""
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize("path", FILES)
def test_files_are_kept_but_asked_about(served, path):
    got = get(served.http, path)
    tag = got.headers["ETag"]
    assert got.headers["Cache-Control"] == "no-cache"
    for header in tag, "W/" + tag, f'"other", {tag}', "*":
        again = get(served.http, path, headers={"If-None-Match": header})
        assert (again.status, again.text) == (304, ""), header
        assert again.headers["ETag"] == tag
    for header in '"other"', "", tag[:-2] + '"', tag.strip('"'):
        again = get(served.http, path, headers={"If-None-Match": header})
        assert again.status == 200 and again.text == got.text, header


def test_tags_differ(served):
    tags = {get(served.http, path).headers["ETag"] for path in FILES}
    assert len(tags) == len(FILES)


@pytest.mark.parametrize("path", [*FILES, "/status.json"])
def test_who_may_ask(served, path):
    """The rules of /metrics hold here, too: host, method, other origins."""
    for host in "evil.example", "127.0.0.2", "":
        got = get(served.http, path, headers={"Host": host})
        assert got.status == 421 and len(got.text) < 100, host
    for method in "POST", "PUT", "OPTIONS":
        got = get(served.http, path, method)
        assert got.status == 405 and got.headers["Allow"] == "GET, HEAD"
    got = get(served.http, path, headers={"Origin": "https://evil.example"})
    assert not [h for h in got.headers if h.lower().startswith("access-")]
    assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Referrer-Policy"] == "no-referrer"


def test_policy(served):
    """Nothing inline, nothing from elsewhere, nobody's frame."""
    policy = dict(part.strip().split(" ", 1) for part in get(
        served.http, "/").headers["Content-Security-Policy"].split(";"))
    assert policy.pop("default-src") == policy.pop("frame-ancestors") == (
        policy.pop("base-uri")) == policy.pop("form-action") == "'none'"
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert policy.pop("trusted-types") == "'none'"
    assert policy == dict.fromkeys(
        ["script-src", "style-src", "img-src", "connect-src"], "'self'")


def test_files_ask_for_nothing_elsewhere():
    """No address of another server, and no way from text to markup."""
    for name in FILES.values():
        text = (PAGE / name).read_text().replace(
            "http://www.w3.org/2000/svg", "")
        assert "://" not in text, name
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(",
                     "document.write", "style=", "onclick="):
            assert word not in text, (name, word)


def status(larder):
    got = get(larder.http, "/status.json")
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Cache-Control"] == "no-store"
    return json.loads(got.text)


def outcome_counts(document):
    return {name: o["count"] for name, o in document["outcomes"].items()}


def test_document(served):
    """It agrees with what the control socket says of the same moment."""
    served.alive()
    assert served.ask("localhost.") is not None
    stats, document = served.stats(), status(served)
    total, lately = document["total"], document["lately"]
    assert total["counters"] == stats["counters"]
    assert total["queries"] == stats["queries"] >= 2
    for name, outcome in stats["outcomes"].items():
        got = total["outcomes"][name]
        assert got["count"] == outcome["count"], name
        assert sum(got["buckets"]) == outcome["count"], name
        assert len(got["buckets"]) == len(document["bounds_us"]) + 1
    assert document["cache"] == stats["cache"]
    assert [u["name"] for u in document["upstreams"]] == [
        u["name"] for u in stats["upstreams"]]
    assert document["health"] == json.loads(get(served.http, "/health").text)
    assert 0 < lately["span_us"] <= document["uptime_us"]
    assert sum(outcome_counts(lately).values()) == lately["queries"] <= (
        total["queries"])
    again = status(served)
    assert again["run"] == document["run"]
    assert again["uptime_us"] > document["uptime_us"]


def test_a_file_is_no_folder(served):
    for path in "/index.html", "/page", "/page/", "//", "/page.js/":
        assert get(served.http, path).status == 404


# --- in a browser -----------------------------------------------------------

class Page:
    """The page of a larderd in a browser's window."""

    def __init__(self, chrome, larder):
        self.chrome, self.larder = chrome, larder
        self.origin = f"http://127.0.0.1:{larder.http}"
        self.run = chrome.run

    def open(self):
        self.chrome.go(self.origin + "/")
        self.chrome.wait("return document.body.dataset.link === 'live'")

    def hide(self, hidden=True):
        """As if the window was hidden or shown: headless ones never are."""
        self.run("Object.defineProperty(document, 'hidden', {value: "
                 "arguments[0], configurable: true});"
                 "document.dispatchEvent(new Event('visibilitychange'))",
                 hidden)

    def look(self):
        """What is shown when this returns was asked for after it began."""
        self.hide()
        assert self.run("return document.body.dataset.link") == "paused"
        self.hide(False)
        self.chrome.wait("return document.body.dataset.link === 'live'")

    def choose(self, window):
        self.run("document.querySelector("
                 "`input[name=window][value=${arguments[0]}]`).click()",
                 window)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])"
                        ".textContent", selector)

    def table(self, body):
        """The texts of a table, row by row, by the names of the fields."""
        return self.run("""
            return [...document.querySelectorAll(arguments[0] + " > *")].map(
                (row) => Object.fromEntries(
                    [...row.querySelectorAll("[data-field]")].map(
                        (n) => [n.dataset.field, n.textContent])))""", body)

    def shown(self):
        """All words that somebody sees (or hears, from a screen reader)."""
        nodes = self.chrome.devtools("Accessibility.getFullAXTree")["nodes"]
        return " ".join(n["name"]["value"] for n in nodes if n.get("name")
                        and not n.get("ignored")
                        and n["role"]["value"] == "StaticText")


@pytest.fixture(scope="module")
def chrome():
    why = browser.missing()
    if why:
        pytest.skip(why)
    with browser.Browser() as chrome:
        yield chrome


def complaints(chrome):
    """What the console says, but for requests that found nobody there."""
    return [entry for entry in chrome.console()
            if "net::ERR_CONNECTION_REFUSED" not in entry["message"]]


@pytest.fixture
def page(served, chrome, upstream):
    """The page, open and wide, of the module's larderd.  Nothing may be said in
    the console, and no request may leave for another server."""
    chrome.size(1200, 900)
    chrome.scheme("light")
    complaints(chrome)
    chrome.requests()
    page = Page(chrome, served)
    page.open()
    yield page
    chrome.wait("return document.body.dataset.link === 'live'")
    assert not complaints(chrome)
    asked = chrome.requests()
    assert page.origin + "/status.json" in asked
    assert all(url.startswith(page.origin + "/") for url in asked), asked
    served.check_running()


def number(text):
    return int(text.replace("\u202f", ""))


def duration(us):
    """As the page and larderctl write it."""
    if us is None:
        return "–"
    if us < 1000:
        return f"{us}\u202fµs"
    if us < 9950:
        return f"{us / 1e3:.1f}\u202fms"
    if us < 999500:
        return f"{us / 1e3:.0f}\u202fms"
    return f"{us / 1e6:.{1 if us < 9950000 else 0}f}\u202fs"


def mixed_load(larder, upstream, fresh):
    """Hits, misses, joined, local and failing queries."""
    def handler(ctx):
        if ctx.name.startswith("bad"):
            ctx.send(reply(ctx.wire, rcode=SERVFAIL))
        elif ctx.name.startswith("later"):
            ctx.send_later(0.03, reply(ctx.wire, [
                rr(ctx.name, "A", 300, "192.0.2.1")]))
        else:
            answer_default(ctx)

    upstream.handler = handler
    hot = fresh("hot")
    for name in [hot] * 30 + [fresh("later") for _ in range(5)] + [
            "localhost.", fresh("bad")]:
        assert larder.ask(name) is not None


def test_numbers_are_those_of_the_metrics(page, upstream, fresh):
    """At rest every number on the page is the one that /metrics has."""
    larder = page.larder
    mixed_load(larder, upstream, fresh)
    page.choose("total")
    deadline = time.monotonic() + 20
    while True:         # a probe of larder's own may come between two looks
        before, stats = get(larder.http).text, larder.stats()
        page.look()
        outcomes, counters, upstreams = (
            page.table(t) for t in ("#outcomes", "#counters", "#upstreams"))
        after = get(larder.http).text
        strip = re.compile(r"larder_(uptime|config_age)_seconds \d+")
        if strip.sub("", before) == strip.sub("", after):
            break
        assert time.monotonic() < deadline
    got = samples(after)
    queries = {row["name"]: row for row in outcomes}
    assert number(page.text("#queries")) == stats["queries"] == sum(
        number(row["count"]) for row in outcomes)
    for name, row in queries.items():
        assert number(row["count"]) == got["larder_queries_total",
                                           "outcome=" + name]
        assert number(row["count"]) == got[
            "larder_answer_duration_seconds_count", "outcome=" + name]
        for q in "p50", "p99":
            assert row[q] == duration(stats["outcomes"][name][q + "_us"])
    for q in "p50", "p90", "p99":
        assert page.text("#" + q) == duration(stats["answers"][q + "_us"])
    assert {r["name"].replace(" ", "_"): number(r["count"])
            for r in counters} == stats["counters"]
    spared = number(queries["hit"]["count"])
    asked = number(queries["miss"]["count"]) + number(
        queries["joined"]["count"])
    assert page.text("#hit-ratio") == (
        f"{100 * spared / (spared + asked):.1f}\u202f%")
    assert page.text("#failed") == (
        f"{100 * got['larder_servfail_total',] / stats['queries']:.1f}"
        "\u202f%")
    assert number(page.text("#cache-entries")) == got["larder_cache_entries",]
    assert number(page.text("#cache-evicted")) == (
        got["larder_cache_evicted_total",])
    assert page.text("#cache-size") == "64.0\u202fMiB"
    assert len(upstreams) == 2
    for row in upstreams:
        label = "upstream=" + row["name"]
        assert number(row["sent"]) == got["larder_upstream_sent_total", label]
        assert number(row["answered"]) == got[
            "larder_upstream_answered_total", label]
        failed = {key[2].removeprefix("reason="): n for key, n in got.items()
                  if key[:2] == ("larder_upstream_failures_total", label)}
        told = dict(part.split("\u202f") for part in
                    row["failures"].split(", ") if row["failures"] != "none")
        assert {name: number(n) for name, n in told.items()} == {
            name: n for name, n in failed.items() if n}
    assert upstreams[0]["failures"] != "none"


def test_window_of_the_last_minute(page):
    """Of what the page shows at first, the whole is what happened lately."""
    page.larder.alive()
    page.look()
    lately = status(page.larder)["lately"]
    assert number(page.text("#queries")) <= lately["queries"]
    assert page.text("#lately-label").startswith("The last ")
    page.choose("total")
    assert number(page.text("#queries")) >= lately["queries"]


def test_rate(page, fresh):
    """Queries per second between two looks, by larderd's own clock."""
    name = fresh()
    page.larder.ask(name)
    begun = time.monotonic()
    page.look()
    page.hide()
    asking = time.monotonic()
    for _ in range(100):
        page.larder.ask(name)
    asked = time.monotonic()
    page.hide(False)
    page.chrome.wait("return document.body.dataset.link === 'live'")
    ended = time.monotonic()
    page.hide()
    rate = float(page.text("#rate").replace("\u202f", ""))
    assert 100 / (ended - begun) - 1 < rate < 100 / (asked - asking) + 1
    # The newest bar of the picture is as high as that, against its axis.
    label = page.run("return document.getElementById('traffic')"
                     ".getAttribute('aria-label')")
    assert "at most" in label
    assert page.run("return document.querySelectorAll("
                    "'#traffic .fill.hit').length") == 1
    page.hide(False)


def test_picture_of_times(page, upstream, fresh):
    """A latency is a bar at its place: right of 10 ms and left of 1 s."""
    mixed_load(page.larder, upstream, fresh)
    page.choose("total")
    page.look()
    bars = page.run("""
        const svg = document.getElementById("asked");
        const box = svg.querySelector(".fill.miss").getBBox();
        const tick = (text) => Number([...svg.querySelectorAll("text")].find(
            (t) => t.textContent.replace("\\u202f", " ") === text)
            .getAttribute("x"));
        return [box.x + box.width, tick("10 ms"), box.height,
                svg.clientHeight, svg.getAttribute("aria-label")]""")
    right, ten_ms, tall, height, label = bars
    assert right > ten_ms and 20 < tall <= height
    assert label.startswith("p50 ")


def test_state_in_words(page, fresh):
    """A dead upstream is told in words, and why; so is what that means."""
    label = fresh("x").split(".")[0]
    for i in range(4):      # nobody waits for what nobody answers
        page.larder.ask(f"{label}{i}.corp.example.", timeout=0.05)
    deadline = time.monotonic() + 15
    while True:
        page.look()
        row = page.table("#upstreams")[1]
        if row["word"] == "not answering":
            break
        assert time.monotonic() < deadline, row
        time.sleep(0.2)
    assert row["name"] == "spare" and "next probe in" in row["why"]
    assert row["why"].startswith("unreachable for ")
    assert page.text("#health-word") == "failing"
    assert "no upstream for corp.example. works" in page.text("#troubles")
    assert page.run("return document.title") == "larder: failing"
    seen = page.shown()
    for words in "not answering", "failing", "unreachable for":
        assert words in seen, words
    assert "\\" not in seen
    roles = page.chrome.devtools("Accessibility.getFullAXTree")["nodes"]
    roles = {n["role"]["value"] for n in roles if not n.get("ignored")}
    assert {"main", "alert", "status", "heading", "table", "rowheader",
            "columnheader", "radio", "image"} <= roles, roles
    assert page.larder.ctl("upstream", "spare", "down").returncode == 0
    page.look()
    row = page.table("#upstreams")[1]
    assert (row["word"], row["why"]) == ("down", "by order")
    assert page.larder.ctl("upstream", "spare", "auto").returncode == 0


def slow_query(larder, upstream, fresh):
    """Has an evil name answered so late that it is noted."""
    unique = fresh("slow").split(".")[0]
    name = EVIL.replace(" ", "\\032") + f".{unique}.example."
    upstream.handler = lambda ctx: ctx.send_later(0.25, reply(ctx.wire, [
        rr(ctx.name, "A", 300, "192.0.2.1")]))
    assert larder.ask(name) is not None
    upstream.handler = answer_default
    return EVIL_TEXT.replace("example.", f"{unique}.example.")


def test_names_are_text(page, upstream, fresh):
    """A name that would be markup is shown as it was asked for."""
    name = slow_query(page.larder, upstream, fresh)
    page.look()
    rows = [r for r in page.table("#slow") if r["name"] == name]
    assert len(rows) == 1, page.table("#slow")
    (row,) = rows
    assert row["type"] == "A" and row["outcome"] == "miss" and row["why"]
    assert re.search(r"\bm?s$", row["took"]), row
    assert name in page.shown()
    assert page.run("return [...document.querySelectorAll('body img')]"
                    ".map((i) => i.getAttribute('src'))") == ["icon.svg"]
    assert page.run("return document.title").startswith("larder")


def test_text_cannot_become_markup(page):
    """Even a script of the page's own would fail, did it try."""
    assert page.run("""
        try { document.body.innerHTML = "<p>"; } catch (e) { return e.name }
        """) == "TypeError"
    assert page.run("return document.body.children.length") > 1
    said = complaints(page.chrome)
    assert said and all("Trusted" in s["message"] for s in said), said


def test_names_are_not_shown_unless_wished(page, upstream, fresh):
    larder = page.larder
    name = slow_query(larder, upstream, fresh)
    larder.rewrite(larder.conf | {"metrics-names": False})
    try:
        assert larder.ctl("reload").returncode == 0
        text = get(larder.http, "/status.json").text
        assert "onerror" not in text
        document = json.loads(text)
        assert document["names"] is False
        assert document["slow"]["queries"]
        assert all(q["name"] is None for q in document["slow"]["queries"])
        page.look()
        assert name not in page.shown()
        assert {r["name"] for r in page.table("#slow")} == {"not shown"}
        assert "metrics-names" in page.text("#slow-note")
    finally:
        larder.rewrite(larder.conf)
        assert larder.ctl("reload").returncode == 0
    page.look()
    assert name in [r["name"] for r in page.table("#slow")]


CONTRAST = """
    const luminance = (rgb) => rgb.map((c) => c / 255).map((c) =>
        c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const rgb = parse(getComputedStyle(node).backgroundColor);
            if (rgb.length === 3 || rgb[3] > 0)
                return rgb.slice(0, 3);
        }
    };
    const bad = [];
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some((n) => n.nodeType === 3 &&
                                                     n.data.trim());
        if (!own || !node.getClientRects().length ||
            node.closest(".unseen"))
            continue;
        const style = getComputedStyle(node);
        const front = node instanceof SVGElement ? style.fill : style.color;
        const a = luminance(parse(front).slice(0, 3));
        const b = luminance(behind(node));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5)
            bad.push([node.textContent, front, ratio]);
    }
    return [bad, luminance(behind(document.body))]"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(page, scheme):
    """Each is what was wished for, and every text can be read."""
    page.chrome.scheme(scheme)
    bad, paper = page.run(CONTRAST)
    assert not bad
    assert paper > 0.8 if scheme == "light" else paper < 0.05


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_sticks_out(page, upstream, fresh, width):
    """No scrolling sideways, on a phone neither, with a long name shown."""
    name = slow_query(page.larder, upstream, fresh)
    page.chrome.size(width, 800, phone=width < 500)
    page.look()
    assert name in page.shown()
    page.run("document.querySelector('details').open = true")
    page.chrome.wait(f"return innerWidth === {width}")
    wide, out = page.run("""
        return [document.documentElement.scrollWidth,
                [...document.querySelectorAll("body *")].filter(
                    (n) => n.getBoundingClientRect().right > innerWidth + 1
                           && !n.closest(".unseen"))
                    .map((n) => n.outerHTML.slice(0, 200))]""")
    assert (wide, out) == (width, [])


def test_keyboard(page):
    """The window of time is chosen with arrows, after a tab or two."""
    def key(name, code):
        for kind in "keyDown", "keyUp":
            page.chrome.devtools("Input.dispatchKeyEvent", type=kind,
                                 key=name, code=name,
                                 windowsVirtualKeyCode=code)

    for _ in range(5):
        key("Tab", 9)
        if page.run("return document.activeElement.name") == "window":
            break
    assert page.run("return document.activeElement.value") == "lately"
    assert page.run("return getComputedStyle(document.activeElement"
                    ".nextElementSibling).outlineStyle") == "solid"
    key("ArrowRight", 39)
    assert page.run("return document.activeElement.value") == "total"
    assert page.run("return document.querySelector("
                    "'input[name=window]:checked').value") == "total"


def test_motion_is_reduced_when_wished(page):
    def moving(wish):
        page.chrome.devtools("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-reduced-motion", "value": wish}])
        return page.run("""return document.getAnimations().length ||
            [...document.querySelectorAll("*")].some((n) =>
                parseFloat(getComputedStyle(n).transitionDuration) > 0)""")
    assert moving("no-preference") and not moving("reduce")


def test_nobody_looks(page):
    """A hidden page asks nothing; shown again, it asks at once."""
    page.hide()
    page.chrome.requests()
    assert page.text("#link").startswith("paused")
    time.sleep(2.5)             # it would have asked after two
    assert page.chrome.requests() == []
    page.hide(False)
    page.chrome.wait("return document.body.dataset.link === 'live'")


def test_without_scripts(page):
    """It says what there is instead, with links that lead there."""
    page.chrome.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.chrome.go(page.origin + "/")
        seen = page.shown()
        assert "health" in seen and "larderctl" in seen
        assert "Upstreams" not in seen
        links = re.findall(r'<a href="(.*?)"', get(page.larder.http,
                                                   "/").text)
        assert {"health", "metrics", "health/network"} <= set(links)
        for link in links:
            assert get(page.larder.http, "/" + link).status in (200, 503)
    finally:
        page.chrome.devtools("Emulation.setScriptExecutionDisabled",
                             value=False)
    page.open()


def test_restart(page):
    """The loss of larderd is told, and another run goes on the same page."""
    larder = page.larder
    for _ in range(5):
        larder.alive()
    page.run("window.still_here = true")
    page.choose("total")
    page.look()
    before = number(page.text("#queries"))
    assert larder.stop() == 0
    page.chrome.wait("return document.body.dataset.link === 'lost'")
    assert page.text("#link").startswith("connection lost")
    assert number(page.text("#queries")) == before
    larder.start()
    rate, link = page.chrome.wait("""
        if (document.body.dataset.link !== "live")
            return false;
        return ["rate", "link"].map((id) =>
            document.getElementById(id).textContent)""")
    assert float(rate) == 0         # nobody has asked this one yet
    assert link in ("larderd was started anew", "live")
    assert page.run("return window.still_here") is True
    larder.alive()
    page.look()
    assert number(page.text("#queries")) == status(larder)["total"][
        "queries"] < before
    assert float(page.text("#rate")) >= 0


class Front(ThreadingHTTPServer):
    """Stands before larderd and lets it look like one of another version:
    `page` and `document` are the names of the page that either tells."""

    daemon_threads = True

    def __init__(self, http, name):
        self.http, self.name = http, name
        self.page = self.document = name
        self.loads = self.asked = 0
        super().__init__(("127.0.0.1", 0), FrontHandler)
        self.origin = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,),
                         daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class FrontHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        front = self.server
        got = get(front.http, self.path)
        front.loads += self.path == "/"
        front.asked += self.path == "/status.json"
        name = front.page if self.path == "/" else front.document
        body = got.text.replace(front.name, name).encode()
        self.send_response(got.status)
        for key in ("Content-Type", "Content-Security-Policy",
                    "Cache-Control"):
            if key in got.headers:
                self.send_header(key, got.headers[key])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_upgrade_under_an_open_page(served, chrome):
    """A document that goes with another page has the page loaded anew; once,
    should that bring the same one."""
    def look():
        chrome.run("document.dispatchEvent(new Event('visibilitychange'))")

    def until(script):
        look()
        chrome.wait("const d = document, link = d.body.dataset.link;"
                    f"return {script}")

    complaints(chrome)
    with Front(served.http, status(served)["page"]) as front:
        chrome.go(front.origin + "/")
        until("link === 'live'")
        assert front.loads == 1
        front.page = front.document = "0.2.0-1"
        until("d.documentElement.dataset.page === '0.2.0-1' && "
              "link === 'live'")
        assert front.loads == 2
        front.document = "0.2.0-2"
        until("link === 'lost' && "
              "d.querySelector('#link').textContent.includes('version')")
        asked, deadline = front.asked, time.monotonic() + 20
        while front.asked < asked + 3:
            assert time.monotonic() < deadline
            look()
            time.sleep(0.05)
        assert front.loads == 3
        front.document = "0.2.0-1"
        until("link === 'live'")
        assert front.loads == 3
        chrome.go("about:blank")
    assert not complaints(chrome)
