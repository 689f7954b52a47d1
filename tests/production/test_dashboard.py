"""What packaging/grafana-dashboard.json asks Prometheus for: promtool can read it, the server has it, and Grafana can show it
whatever its data source is called."""
import itertools
import json
import re
import subprocess
import urllib.request

from neighbours import PACKAGING
from programs import free_port
from slackwater import PATIENCE, Slackwater
from test_internet import certify

DASHBOARD = json.loads((PACKAGING / "grafana-dashboard.json").read_text())
PANELS = DASHBOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in SHOWN for target in panel["targets"]]
ALERTS = (PACKAGING / "prometheus-alerts.yml").read_text()


def concrete(expression):
    """As Grafana fills in its variables."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$job", ".*")


def names(text):
    return set(re.findall(r"\b(?:slackwater|process)_[a-z_]+\b", text)) - {"slackwater"}


def test_promtool_reads_every_expression(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": concrete(expression)} for number, expression in enumerate(EXPRESSIONS)]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    judged = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.json"], capture_output=True, text=True)
    assert judged.returncode == 0 and f"{len(rules)} rules found" in judged.stdout, judged.stdout + judged.stderr


def test_the_server_has_every_number_that_dashboard_and_alerts_ask_for(tmp_path):
    certify(tmp_path)
    admin = free_port()
    flags = ("--ssl-certfile", tmp_path / "fullchain.pem", "--ssl-keyfile", tmp_path / "privkey.pem",
             "--engine", f"redis://127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{admin}")
    with Slackwater(*map(str, flags)):
        text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=PATIENCE).read().decode()
    told = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    told |= {name + suffix for name in told for suffix in ("_total", "_bucket")}
    variables = [variable["definition"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    asked = set().union(*map(names, [*EXPRESSIONS, *variables, *re.findall(r"expr: (?:>-\n)?((?:.+\n(?= {10}))*.+)", ALERTS)]))
    assert len(asked) > 25 and asked <= told, asked - told


def test_no_data_source_is_taken_for_granted():
    [source] = [variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "datasource"]
    assert (source["name"], source["query"]) == ("datasource", "prometheus")
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r'"type": "prometheus", "uid": "([^"]*)"', text)) == {"${datasource}"}
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in SHOWN)


def test_every_panel_has_a_place_a_unit_and_a_name_of_its_own():
    assert DASHBOARD["uid"] == "slackwater" and DASHBOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids) and {panel["type"] for panel in PANELS} == {"row", "stat", "timeseries"}
    for panel in SHOWN:
        assert panel["fieldConfig"]["defaults"]["unit"] and panel["description"] and panel["title"], panel
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFG"[:len(panel["targets"])])
    taken = [(x, y) for panel in PANELS for place in [panel["gridPos"]] for x, y in itertools.product(
        range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))]
    assert len(set(taken)) == len(taken) and max(x for x, _ in taken) < 24, "panels lie on each other"


def test_whoever_counts_does_so_by_rate():
    for expression in EXPRESSIONS:
        for name in re.findall(r"\w+_total", expression):
            assert re.search(rf"(?:rate|increase)\({name}\{{", expression), expression
