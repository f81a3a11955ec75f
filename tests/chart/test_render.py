"""Every combination of values that the chart takes gives manifests that Kubernetes would take, and that fit together."""

import hashlib
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cases import KEYS, SECRET, matrix, merged
from chart import CHART, KUBERNETES, NAMESPACE, Manifest, Rendered, Values, at, helm, notes, render

pytestmark = pytest.mark.helm

MATRIX = matrix()
# What Kubernetes has no schema for.
CUSTOM = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
# Most that a Service, a policy and a budget may be long, bytes.
NAME_LENGTH = 63


@pytest.fixture(scope="module", params=MATRIX)
def case(request: pytest.FixtureRequest) -> tuple[Values, Rendered]:
    values = MATRIX[request.param]
    return values, render(values)


def validate(rendered: Rendered, kubernetes: str) -> None:
    for manifest in rendered.manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, kubernetes, strict=True)


def test_helm_lints_it() -> None:
    for values in (KEYS, MATRIX["deployment/loadbalancer/most"], MATRIX["daemonset/nodeport/service-monitor"]):
        printed = helm("lint", str(CHART), "--strict", "--kube-version", KUBERNETES[-1], values=values)
        assert "1 chart(s) linted, 0 chart(s) failed" in printed


def test_the_newest_kubernetes_takes_it(case: tuple[Values, Rendered]) -> None:
    validate(case[1], KUBERNETES[-1])


@pytest.mark.parametrize("name", [name for name in MATRIX if name.endswith(("/most", "/service-monitor"))])
def test_the_oldest_kubernetes_takes_it(name: str) -> None:
    # The sleep before SIGTERM came later, and is refused there.
    values = merged(MATRIX[name], {"preStopSleepSeconds": 0})
    validate(render(values, KUBERNETES[0]), KUBERNETES[0])


def test_the_schemas_refuse_what_is_wrong() -> None:
    rendered = render(KEYS)
    rendered.container["readinessProbe"]["httpGet"]["pth"] = "/"
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(rendered, KUBERNETES[-1])


def test_names_are_unique_short_and_in_the_namespace(case: tuple[Values, Rendered]) -> None:
    metadata = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in case[1].manifests]
    assert len(set(metadata)) == len(metadata)
    assert all(len(name) <= NAME_LENGTH for _, name in metadata)
    assert {manifest["metadata"]["namespace"] for manifest in case[1].manifests} == {NAMESPACE}


def test_a_long_release_name_is_cut() -> None:
    values = merged(MATRIX["deployment/loadbalancer/service-monitor"], {"fullnameOverride": "a" * 63})
    names = {manifest["metadata"]["name"] for manifest in render(values).manifests}
    assert max(map(len, names)) <= NAME_LENGTH and len(names) == 3


def test_selectors_match_the_pods(case: tuple[Values, Rendered]) -> None:
    rendered = case[1]
    labels = rendered.pod["metadata"]["labels"]
    selectors = [rendered.workload["spec"]["selector"]["matchLabels"]]
    selectors += [manifest["spec"]["selector"] for manifest in rendered.of("Service")]
    selectors += [at(manifest, "spec.selector.matchLabels") for manifest in rendered.of("PodDisruptionBudget")]
    selectors += [at(manifest, "spec.podSelector.matchLabels") for manifest in rendered.of("NetworkPolicy")]
    selectors += [at(manifest, "spec.selector.matchLabels") for manifest in rendered.of("PodMonitor")]
    spread = rendered.pod["spec"].get("topologySpreadConstraints", [])
    selectors += [constraint["labelSelector"]["matchLabels"] for constraint in spread]
    for selector in selectors:
        assert selector and selector.items() <= labels.items()


def test_ports_are_those_of_the_configuration(case: tuple[Values, Rendered]) -> None:
    config = case[1].config
    ports = {port["name"]: (port["containerPort"], port["protocol"]) for port in case[1].container["ports"]}
    assert ports.pop("signalling") == (config.get("port", 7880), "TCP")
    assert ports.pop("operations") == (at(config, "prometheus.port", 6789), "TCP")
    first = at(config, "rtc.udp_port", 7882)
    assert list(ports.values()) == [(first + shard, "UDP") for shard in range(config.get("shards", 1))]


def test_the_configuration_is_what_the_values_say(case: tuple[Values, Rendered]) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["config"]
    assert case[1].config == merged(defaults, case[0].get("config", {}))


def test_services_lead_to_ports_of_the_pod(case: tuple[Values, Rendered]) -> None:
    values, rendered = case
    ports = {port["name"]: port for port in rendered.container["ports"]}
    for service in rendered.of("Service"):
        for port in service["spec"]["ports"]:
            assert port["protocol"] == ports[port["targetPort"]]["protocol"]
    if at(values, "network.mode") != "service":
        assert not [service for service in rendered.of("Service") if service["metadata"]["name"].endswith("-media")]
        return
    media = rendered.named("Service", "meet-sfumato-media")["spec"]
    outside = [port.get("nodePort", port["port"]) for port in media["ports"]]
    assert outside == [port["containerPort"] for name, port in ports.items() if name.startswith("media-")]
    assert media["publishNotReadyAddresses"] is True, "running calls go on while a server drains"
    assert media["externalTrafficPolicy"] == "Local"


def test_probes_ask_the_operations_port(case: tuple[Values, Rendered]) -> None:
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        asked = case[1].container[probe]["httpGet"]
        assert (asked["path"], asked["port"]) == (path, "operations")
    assert "startupProbe" not in case[1].container


def test_the_pod_may_drain_as_long_as_the_server_does(case: tuple[Values, Rendered]) -> None:
    drain = case[1].config.get("drain", {})
    longest = drain.get("grace", 18000) + drain.get("spread", 20)
    sleep = at(case[1].container, "lifecycle.preStop.sleep.seconds", 0)
    seconds = case[1].pod["spec"]["terminationGracePeriodSeconds"]
    # The server gives its farewells 3 s and open connections 10 s more.
    assert seconds >= longest + sleep + 15
    if case[1].workload["kind"] == "Deployment":
        assert case[1].workload["spec"]["progressDeadlineSeconds"] > seconds


def test_secrets_that_are_used_exist(case: tuple[Values, Rendered]) -> None:
    values, rendered = case
    made = {(secret["metadata"]["name"], key) for secret in rendered.of("Secret") for key in secret["stringData"]}
    source = rendered.environment["SFUMATO_KEYS"]["secretKeyRef"]
    existing = at(values, "keys.existingSecret")
    if existing:
        assert not rendered.of("Secret") and source["name"] == existing
    else:
        assert (source["name"], source["key"]) in made
    mounted = {volume["name"]: volume for volume in rendered.pod["spec"]["volumes"]}
    for mount in rendered.container["volumeMounts"]:
        assert mount["name"] in mounted
    certificate = at(values, "tls.secretName")
    assert ("SFUMATO_TLS_CERT" in rendered.environment) == ("tls" in mounted) == bool(certificate)


def test_no_secret_is_in_a_config_map_or_an_argument(case: tuple[Values, Rendered]) -> None:
    for manifest in case[1].manifests:
        assert manifest["kind"] == "Secret" or SECRET not in str(manifest)


def test_the_keys_are_text_the_server_reads() -> None:
    secret = render(MATRIX["deployment/host/most"]).one("Secret")
    assert yaml.safe_load(secret["stringData"]["keys"]) == {"first": SECRET, "second": SECRET}


def test_the_pod_has_no_more_rights_than_it_needs(case: tuple[Values, Rendered]) -> None:
    spec, container = case[1].pod["spec"], case[1].container
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    rights = container["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"]} and rights["readOnlyRootFilesystem"] is True
    assert rights["allowPrivilegeEscalation"] is False and "privileged" not in rights
    for volume in spec["volumes"]:
        assert "hostPath" not in volume
        if "secret" in volume:
            mode = volume["secret"]["defaultMode"]
            assert mode & 0o004 == 0 and mode & 0o040, "read by the pod's group, by nobody else"
    assert not case[1].of("Role") + case[1].of("ClusterRole") + case[1].of("RoleBinding")


def test_metrics_are_for_the_cluster(case: tuple[Values, Rendered]) -> None:
    environment = case[1].environment
    assert environment["SFUMATO_METRICS_BIND"] == "$(POD_IP),127.0.0.1"
    assert environment["POD_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    names = list(environment)
    assert names.index("POD_IP") < names.index("SFUMATO_METRICS_BIND"), "a variable knows only those before it"
    for service in case[1].of("Service"):
        exposed = {port["targetPort"] for port in service["spec"]["ports"]}
        assert "operations" not in exposed or service["spec"]["clusterIP"] == "None"


def test_addresses_for_metrics_in_the_configuration_win() -> None:
    values = merged(KEYS, {"config": {"prometheus": {"bind_addresses": ["127.0.0.1"]}}})
    assert "SFUMATO_METRICS_BIND" not in render(values).environment


def test_clients_of_a_node_port_are_told_the_nodes_address() -> None:
    source = render(MATRIX["deployment/nodeport/least"]).environment["SFUMATO_NODE_IP"]
    assert source == {"fieldRef": {"fieldPath": "status.hostIP"}}
    assert "SFUMATO_NODE_IP" not in render(MATRIX["deployment/loadbalancer/least"]).environment


def test_the_host_network_is_used_when_asked_for(case: tuple[Values, Rendered]) -> None:
    spec = case[1].pod["spec"]
    host = at(case[0], "network.mode", "host") == "host"
    assert spec.get("hostNetwork", False) is host
    assert spec.get("dnsPolicy") == ("ClusterFirstWithHostNet" if host else None)


def test_the_allocator_is_told_to_keep_one_arena(case: tuple[Values, Rendered]) -> None:
    assert case[1].environment["MALLOC_ARENA_MAX"] == "1"


def strategy(name: str) -> dict[str, Any]:
    spec = render(MATRIX[name]).workload["spec"]
    return spec.get("strategy") or spec["updateStrategy"]


def test_one_server_drains_before_the_next_and_several_go_one_by_one() -> None:
    assert strategy("deployment/host/least") == {"type": "Recreate"}
    for name in ("several/host/least", "daemonset/host/least"):
        assert strategy(name)["rollingUpdate"]["maxUnavailable"] == 1
        assert strategy(name)["rollingUpdate"].get("maxSurge", 0) == 0, "two servers cannot share a node's ports"


def test_one_server_stays_reachable_while_it_drains_and_one_of_several_does_not() -> None:
    def published(name: str) -> bool:
        return render(MATRIX[name]).named("Service", "meet-sfumato")["spec"]["publishNotReadyAddresses"]

    assert published("deployment/host/least") and published("pinned-daemonset/host/least")
    assert not published("several/host/least") and not published("scaled/host/least")
    assert not published("daemonset/host/least")


def test_a_budget_is_for_deployments() -> None:
    assert render(MATRIX["several/host/least"]).one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert not render(MATRIX["daemonset/host/least"]).of("PodDisruptionBudget")
    assert not render(MATRIX["deployment/host/service-monitor"]).of("PodDisruptionBudget")


def test_the_autoscaler_goes_by_cpu_and_by_busy_shards() -> None:
    rendered = render(MATRIX["scaled/host/least"])
    scaler = rendered.one("HorizontalPodAutoscaler")["spec"]
    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", rendered.workload["metadata"]["name"])
    assert "replicas" not in rendered.workload["spec"], "the autoscaler's number would be undone by each upgrade"
    cpu, busy = scaler["metrics"]
    assert cpu["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert busy["pods"]["metric"]["name"] == "sfumato_shard_busy_ratio"
    assert busy["pods"]["target"] == {"type": "AverageValue", "averageValue": "600m"}
    assert scaler["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}]


def test_a_new_configuration_restarts_the_servers_and_a_new_chart_does_not() -> None:
    def annotations(values: Values) -> Manifest:
        return render(merged(KEYS, values)).pod["metadata"]

    assert annotations({}) != annotations({"config": {"logging": {"level": "debug"}}})
    assert annotations({"dashboard": {"enabled": True}}) == annotations({})
    assert not any("chart" in label for label in annotations({})["labels"])
    keys = {"keys": {"existingSecret": "", "values": {"a": SECRET}}}
    other = {"keys": {"existingSecret": "", "values": {"a": SECRET[::-1]}}}
    assert annotations(keys) != annotations(other)


def test_a_policy_lets_media_and_signalling_in_and_metrics_from_the_namespace() -> None:
    policy = render(MATRIX["deployment/loadbalancer/least"]).one("NetworkPolicy")["spec"]
    signalling, media, operations = policy["ingress"]
    assert signalling == {"ports": [{"port": 7880, "protocol": "TCP"}]}
    assert media == {"ports": [{"port": 7882, "endPort": 7883, "protocol": "UDP"}]}
    assert operations == {"ports": [{"port": 6789, "protocol": "TCP"}], "from": [{"podSelector": {}}]}


def test_a_digest_wins_over_the_tag() -> None:
    assert render(MATRIX["deployment/host/service-monitor"]).container["image"] == "sfumato@sha256:" + "0" * 64
    assert render(merged(KEYS, {"image": {"tag": "edge"}})).container["image"] == "sfumato:edge"


def test_the_dashboard_is_the_file() -> None:
    config_map = render(MATRIX["deployment/host/most"]).named("ConfigMap", "meet-sfumato-dashboard")
    carried = hashlib.sha256(config_map["data"]["sfumato.json"].strip().encode()).hexdigest()
    file = (CHART / "dashboards" / "sfumato.json").read_text().strip()
    assert carried == hashlib.sha256(file.encode()).hexdigest()
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_monitors_scrape_the_operations_port_as_the_job_of_the_alerts() -> None:
    pod_monitor = render(MATRIX["deployment/host/most"]).one("PodMonitor")
    assert pod_monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert pod_monitor["metadata"]["labels"]["release"] == "prometheus"
    rendered = render(MATRIX["deployment/host/service-monitor"])
    service_monitor = rendered.one("ServiceMonitor")
    selector = service_monitor["spec"]["selector"]["matchLabels"]
    selected = [s for s in rendered.of("Service") if selector.items() <= s["metadata"]["labels"].items()]
    assert [service["metadata"]["name"] for service in selected] == ["meet-sfumato-operations"]
    assert selected[0]["spec"]["publishNotReadyAddresses"] is True, "a server that drains is watched, too"
    named = {port["name"] for port in selected[0]["spec"]["ports"]}
    for endpoint in pod_monitor["spec"]["podMetricsEndpoints"] + service_monitor["spec"]["endpoints"]:
        assert endpoint["path"] == "/metrics" and endpoint["port"] == "operations" and "operations" in named
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "sfumato"}]
        assert set(endpoint) <= {"port", "path", "interval", "scrapeTimeout", "relabelings"}


def test_the_notes_say_how_to_reach_it_and_what_is_missing() -> None:
    bare = notes(KEYS)
    for words in ("port-forward service/meet-sfumato 7880:7880", "UDP from 7882 on", "What is missing", "TLS: browsers"):
        assert words in bare
    whole = notes(MATRIX["deployment/loadbalancer/most"])
    assert "https://meet.example.org/" in whole and "UDP 7882 to 7883" in whole and "at 192.0.2.1" in whole
    assert "What is missing\n  nothing\n" in whole
    assert "600 s (config.drain.grace)" in whole
    assert SECRET not in whole
    assert "no new rooms meanwhile" in whole and "no new rooms meanwhile" not in notes(MATRIX["several/host/least"])
