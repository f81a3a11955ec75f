"""Owns the matrix of values: every kind of workload with every network and every set of options, and those that are refused."""

from itertools import product
from typing import Any

from chart import Values

SECRET = "0123456789abcdef0123456789abcdef"
KEYS: Values = {"keys": {"existingSecret": "api-keys"}}
PIN = {"kubernetes.io/hostname": "node-1"}

KINDS: dict[str, Values] = {
    "deployment": {"kind": "Deployment"},
    "pinned-daemonset": {"kind": "DaemonSet", "nodeSelector": PIN},
    "daemonset": {"kind": "DaemonSet", "independentNodes": True},
    "several": {"kind": "Deployment", "independentNodes": True, "replicas": 3},
    "scaled": {
        "kind": "Deployment",
        "independentNodes": True,
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 5, "shardBusyRatio": "600m"},
    },
}
NETWORKS: dict[str, Values] = {
    "host": {},
    "host-shards": {"config": {"shards": 4, "port": 8443, "rtc": {"udp_port": 5000, "node_ip": "192.0.2.1"}}},
    "loadbalancer": {"network": {"mode": "service"}, "config": {"shards": 2, "rtc": {"node_ip": "192.0.2.1"}}},
    "nodeport": {
        "network": {"mode": "service", "media": {"type": "NodePort"}},
        "config": {"shards": 3, "rtc": {"udp_port": 30100}},
    },
}
OPTIONS: dict[str, Values] = {
    "least": {},
    "most": {
        "keys": {"existingSecret": "", "values": {"first": SECRET, "second": SECRET}},
        "tls": {"secretName": "certificate"},
        "config": {"prometheus": {"port": 9000}, "drain": {"grace": 600, "spread": 60}},
        "ingress": {"enabled": True, "host": "meet.example.org", "className": "nginx", "tlsSecretName": "edge"},
        "preStopSleepSeconds": 5,
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "alertLabels": {"team": "calls"}, "runbookURL": "https://example.org/runbook"},
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Calls"}},
        "tolerations": [{"key": "media", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "calls",
        "imagePullSecrets": [{"name": "registry"}],
        "extraEnv": [{"name": "RUST_LOG", "value": "sfumato=debug"}],
        "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "podLabels": {"team": "calls"},
        "podAnnotations": {"example.org/owner": "calls"},
    },
    "service-monitor": {
        "serviceMonitor": {"enabled": True, "interval": "30s"},
        "service": {"type": "NodePort", "nodePort": 30080},
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
        "topologySpreadConstraints": [],
        "image": {"digest": "sha256:" + "0" * 64},
    },
}
# A Service would spread one participant's media over several servers.
IMPOSSIBLE = {("several", "loadbalancer"), ("several", "nodeport"), ("scaled", "loadbalancer")}
IMPOSSIBLE |= {("scaled", "nodeport"), ("daemonset", "loadbalancer")}


def merged(*parts: Values) -> Values:
    """Later parts win, key by key."""
    result: Values = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def with_policy(values: Values) -> Values:
    """The network policy where it has an effect."""
    service = values.get("network", {}).get("mode") == "service"
    return merged(values, {"networkPolicy": {"enabled": True}}) if service else values


def matrix() -> dict[str, Values]:
    """What must render, by name."""
    cases = {}
    for (kind, a), (network, b), (option, c) in product(KINDS.items(), NETWORKS.items(), OPTIONS.items()):
        if (kind, network) not in IMPOSSIBLE:
            cases[f"{kind}/{network}/{option}"] = with_policy(merged(KEYS, a, b, c))
    return cases


def refused() -> dict[str, tuple[Values, str]]:
    """What must not, with words of the message."""
    scaled = {"autoscaling": {"enabled": True, "maxReplicas": 3}}
    cases: dict[str, tuple[Any, str]] = {
        "several replicas": ({"replicas": 2}, "replicas is 2: servers do not share rooms yet"),
        "scaled to several": (scaled, "autoscaling.maxReplicas is 3: servers do not share rooms yet"),
        "a DaemonSet on any node": ({"kind": "DaemonSet"}, "pin it to one node by nodeSelector"),
        "a DaemonSet on some nodes": (
            {"kind": "DaemonSet", "nodeSelector": {"pool": "media"}},
            "a DaemonSet runs a server on every node it matches",
        ),
        "a scaled DaemonSet": (merged(KINDS["pinned-daemonset"], scaled), "autoscaling needs kind=Deployment"),
        "more at least than at most": (
            {"autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 1}},
            "autoscaling.minReplicas is more than",
        ),
        "scaled by nothing": ({"autoscaling": {"enabled": True, "cpuPercent": 0}}, "nothing to go by"),
        "scaled by CPU without a request": (
            {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
            "resources.requests.cpu, which is not set",
        ),
        "no keys": ({"keys": {"existingSecret": ""}}, "no API keys"),
        "keys twice": ({"keys": {"values": {"a": SECRET}}}, "both given"),
        "keys in the configuration": ({"config": {"keys": {"a": SECRET}}}, "secrets into a ConfigMap"),
        "a short secret": ({"keys": {"existingSecret": "", "values": {"app": "short"}}}, "keys.values.app has fewer"),
        "development mode": ({"config": {"development": True}}, "publicly known"),
        "certificates twice": (
            {"tls": {"secretName": "a"}, "config": {"tls": {"cert_file": "/a"}}},
            "tls.secretName and config.tls",
        ),
        "a Service for unknown ports": (
            {"network": {"mode": "service"}, "config": {"rtc": {"node_ip": "192.0.2.1"}}},
            "needs config.shards",
        ),
        "a load balancer nobody is told of": (
            {"network": {"mode": "service"}, "config": {"shards": 2}},
            "needs config.rtc.node_ip",
        ),
        "node ports out of range": (
            merged(NETWORKS["nodeport"], {"config": {"rtc": {"udp_port": 32766}}}),
            "media ports are 32766 to 32768",
        ),
        "a policy without effect": ({"networkPolicy": {"enabled": True}}, "networkPolicy does nothing"),
        "an Ingress for no host": ({"ingress": {"enabled": True}}, "needs ingress.host"),
        "two monitors": ({"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}, "counted twice"),
        "any free port": ({"config": {"port": 0}}, "config.port is 0"),
        "any free operations port": ({"config": {"prometheus_port": 0}}, "config.prometheus.port is 0"),
        "one port for both": ({"config": {"port": 6789}}, "are both 6789"),
        "ports past the last": ({"config": {"shards": 9, "rtc": {"udp_port": 65530}}}, "go past 65535"),
        "a sleep before SIGTERM on an old cluster": ({"preStopSleepSeconds": 5}, "needs Kubernetes 1.30"),
        # By the schema.
        "an unknown value": ({"replicaCount": 1}, "replicaCount"),
        "an unknown kind": ({"kind": "StatefulSet"}, "kind"),
        "an unknown key within": ({"network": {"hostNetwork": True}}, "hostNetwork"),
        "a port that is none": ({"service": {"port": 70000}}, "port"),
        "no time to end": ({"terminationMarginSeconds": 0}, "terminationMarginSeconds"),
    }
    for kind, network in sorted(IMPOSSIBLE):
        message = "would spread one participant's media over all of them"
        cases[f"{kind} behind {network}"] = (merged(KINDS[kind], NETWORKS[network]), message)
    return {name: (merged(KEYS, values), words) for name, (values, words) in cases.items()}
