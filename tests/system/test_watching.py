"""What contrib/ has for those who watch larder: alerts and a dashboard ask
only for what larderd serves, and each alert speaks when it should."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import Larder, Upstream, free_port, fresh_name
from web import http_conf, scrape

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
RULES = CONTRIB / "prometheus/larder.rules.yml"
RULE_TESTS = CONTRIB / "prometheus/larder.rules.test.yml"

yaml = pytest.importorskip("yaml", reason="no PyYAML (package python3-yaml)")
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="no promtool (package prometheus)")

ALERTS = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
WANTED = {"LarderAbsent", "LarderSlow", "LarderFailing", "LarderUpstreamOpen",
          "LarderStale", "LarderKernelDrops", "LarderCacheThrashing"}


@pytest.fixture(scope="module")
def series():
    """[(name, {label: value, …}), …] of a larderd that has worked a little."""
    port = free_port()
    with Upstream() as upstream, Larder(upstream,
                                        conf=http_conf(port)) as larder:
        larder.ask(fresh_name())
        got = scrape(port)
    return [(key[0], dict(pair.split("=", 1) for pair in key[1:]))
            for key in got]


# --- queries ----------------------------------------------------------------

# Labels that Prometheus gives, not larder.
TARGET_LABELS = {"job", "instance"}
SELECTOR = re.compile(r"\b(larder_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|without|group_left) *\(([^)]*)\)")


def matches(labels, matchers):
    for label, op, value in matchers:
        if label in TARGET_LABELS:
            continue
        have = labels.get(label, "")
        hit = have == value if op in ("=", "!=") else bool(
            re.fullmatch(value, have))
        if label not in labels or hit == op.startswith("!"):
            return False
    return True


def complaints(query, series):
    """What a query asks for that larderd does not serve."""
    found = SELECTOR.findall(query)
    out = [] if found else [f"no metric in {query!r}"]
    labels = set(TARGET_LABELS)
    for name, inside in found:
        if name == "up":
            continue
        hits = [have for metric, have in series
                if metric == name and matches(have, MATCHER.findall(inside))]
        if not hits:
            out.append(f"nothing is {name}{{{inside}}}")
        labels.update(*hits)
    for group in GROUPING.findall(query):
        out += [f"no label {label} in {query!r}"
                for label in re.findall(r"\w+", group) if label not in labels]
    return out


def test_complaints_are_made(series):
    """The check itself finds what is wrong."""
    good = 'sum by (instance) (rate(larder_queries_total{outcome="hit"}[5m]))'
    assert complaints(good, series) == []
    for bad in ("larder_querys_total", 'larder_queries_total{outcome="hits"}',
                'larder_queries_total{outcome!~".*"}', "vector(1)",
                'larder_queries_total{result="hit"}',
                "sum by (reason) (larder_queries_total)",
                "larder_answer_duration_seconds"):
        assert len(complaints(bad, series)) == 1, bad


# --- alerts -----------------------------------------------------------------

@pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a["alert"])
def test_alert_asks_for_what_is_there(alert, series):
    assert complaints(alert["expr"], series) == []
    for text in alert["annotations"].values():
        for name in re.findall(r"larder_\w+", text):
            assert name in {metric for metric, _ in series}


def test_alerts_are_all_there():
    assert {a["alert"] for a in ALERTS} == WANTED
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert set(alert["annotations"]) == {"summary", "description"}


def promtool(*args):
    return subprocess.run(["promtool", *map(str, args)], text=True,
                          capture_output=True)


@needs_promtool
def test_alerts_speak_when_they_should():
    """Each fires in one case and stays quiet in another."""
    assert promtool("check", "rules", RULES).returncode == 0
    done = promtool("test", "rules", RULE_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = [case for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]
             for case in test["alert_rule_test"]]
    for fires in True, False:
        assert {case["alertname"] for case in cases
                if bool(case["exp_alerts"]) == fires} == WANTED


def faults(alert):
    """The alert with one thing wrong at a time: deaf, without its limit, in
    haste, or content with too little evidence."""
    expr, length = alert["expr"], alert.get("for", "0s")
    yield alert | {"expr": f"({expr}) unless on() vector(1)"}
    yield alert | {"expr": re.sub(r"(>|==) [\d.]+", ">= 0", expr, count=1)}
    if length != "0s":
        yield alert | {"for": "0s"}
    if "and on" in expr:
        yield alert | {"expr": expr.split("and on")[0]}


@needs_promtool
@pytest.mark.parametrize("index", range(len(ALERTS)),
                         ids=[a["alert"] for a in ALERTS])
def test_faults_in_an_alert_are_found(index, tmp_path):
    """The cases would tell if an alert were wrong."""
    shutil.copy(RULE_TESTS, tmp_path)
    for fault in faults(ALERTS[index]):
        rules = ALERTS[:index] + [fault] + ALERTS[index + 1:]
        (tmp_path / RULES.name).write_text(yaml.safe_dump(
            {"groups": [{"name": "larder", "rules": rules}]}))
        done = promtool("test", "rules", tmp_path / RULE_TESTS.name)
        assert done.returncode == 1, fault
        assert "alertname: " + fault["alert"] in done.stderr, done.stderr


# --- dashboard --------------------------------------------------------------

DASHBOARD = json.loads((CONTRIB / "grafana/larder.json").read_text())
PANELS = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}


def filled(query):
    """A query as Grafana sends it."""
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    assert "$" not in query, query
    return query


def panel_queries():
    return [(panel, target) for panel in PANELS for target in panel["targets"]]


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p["title"])
def test_panel_asks_for_what_is_there(panel, series):
    for target in panel["targets"]:
        query = filled(target["expr"])
        assert complaints(query, series) == []
        kept = re.findall(r"\bby \(([^)]*)\)", query)
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert all(label in k for k in kept), target["legendFormat"]


def test_the_rest_of_the_dashboard_asks_for_what_is_there(series):
    for note in DASHBOARD["annotations"]["list"]:
        assert complaints(filled(note["expr"]), series) == []
    names = set()
    for variable in DASHBOARD["templating"]["list"]:
        names.add("$" + variable["name"])
        if variable["type"] == "query":
            assert complaints(filled(variable["query"]["query"]), series) == []
    assert names >= {v for v in VARIABLES if not v.startswith("$__")}


def test_every_panel_can_be_seen():
    """Unlike titles and ids, an explanation each, no overlaps."""
    every = DASHBOARD["panels"]
    for key in "id", "title":
        assert len({p[key] for p in every}) == len(every)
    for panel, target in panel_queries():
        assert panel["description"]
        assert (panel["datasource"] == target["datasource"]
                == {"type": "prometheus", "uid": "${datasource}"})
        assert 'instance=~"$instance"' in target["expr"]
    cells = [(x, y) for p in every for g in [p["gridPos"]]
             for x in range(g["x"], g["x"] + g["w"])
             for y in range(g["y"], g["y"] + g["h"])]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


@needs_promtool
def test_queries_of_the_dashboard_can_be_parsed(tmp_path):
    exprs = [target["expr"] for _, target in panel_queries()]
    exprs += [note["expr"] for note in DASHBOARD["annotations"]["list"]]
    rules = [{"record": f"query:{n}", "expr": filled(expr)}
             for n, expr in enumerate(exprs)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump(
        {"groups": [{"name": "larder", "rules": rules}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(exprs)} rules found" in done.stdout
