"""What packaging/kubernetes.yaml says. There is no cluster here: whether the pieces fit together, and whether the server
takes what it is given, is all that is looked at."""
import urllib.request

import pytest
import yaml

from neighbours import PACKAGING
from programs import free_port
from slackwater import Slackwater


@pytest.fixture
def manifests():
    documents = list(yaml.safe_load_all((PACKAGING / "kubernetes.yaml").read_text()))
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


@pytest.fixture
def pod(manifests):
    return manifests["Deployment", "slackwater"]["spec"]["template"]


@pytest.fixture
def container(pod):
    [container] = pod["spec"]["containers"]
    return container


@pytest.fixture
def environment(container):
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_services_find_the_pod_and_its_ports(manifests, pod, container):
    labels = pod["metadata"]["labels"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert manifests["Deployment", "slackwater"]["spec"]["selector"]["matchLabels"] == labels
    services = {name: document["spec"] for (kind, name), document in manifests.items() if kind == "Service"}
    assert {name: spec["ports"][0]["targetPort"] for name, spec in services.items()} == {
        "slackwater": "clients", "slackwater-operators": "operators"}
    assert all(spec["selector"] == labels and spec["ports"][0]["targetPort"] in ports for spec in services.values())
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == ports["operators"]


def test_the_drain_is_not_cut_short(pod, environment):
    drain = sum(float(environment[f"SLACKWATER_{name}"]) for name in ("DRAIN_DELAY", "TIMEOUT_GRACEFUL_SHUTDOWN"))
    assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + 2


def test_volumes_are_there(pod, container, environment):
    [mount] = container["volumeMounts"]
    assert mount["name"] in {volume["name"] for volume in pod["spec"]["volumes"]}
    assert environment["SLACKWATER_PUBLISH_TOKEN_FILE"].startswith(mount["mountPath"] + "/")


def test_a_service_of_this_name_sets_no_flag(pod):
    assert pod["spec"]["enableServiceLinks"] is False


def test_the_server_takes_its_environment_and_answers_the_probes(container, environment, tmp_path, monkeypatch):
    ports = {str(port["containerPort"]): port["name"] for port in container["ports"]}
    assert ports == {environment["SLACKWATER_PORT"]: "clients",
                     environment["SLACKWATER_ADMIN"].rpartition(":")[2]: "operators"}
    (tmp_path / "token").write_text("a-token\n")
    operators = free_port()
    here = {"SLACKWATER_HOST": "127.0.0.1", "SLACKWATER_PORT": "0", "SLACKWATER_ADMIN": f"127.0.0.1:{operators}",
            "SLACKWATER_PUBLISH_TOKEN_FILE": str(tmp_path / "token")}
    # As flags, which have the names of the variables.
    flags = [f"--{name.removeprefix('SLACKWATER_').lower().replace('_', '-')}={here.get(name, value)}"
             for name, value in environment.items() if name != "SLACKWATER_PORT"]
    with Slackwater(*flags):
        for probe in ("readinessProbe", "livenessProbe"):
            get = container[probe]["httpGet"]
            assert get["port"] == "operators"
            assert urllib.request.urlopen(f"http://127.0.0.1:{operators}{get['path']}").status == 200
