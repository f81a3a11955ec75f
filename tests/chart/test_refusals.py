"""What cannot work is refused before anything is installed, in words that say what to do; and all of it at once."""

import pytest

from cases import KEYS, merged, refused
from chart import Refused, Values, render

pytestmark = pytest.mark.helm

REFUSED = refused()
# One that lacks what the newest has.
OLD_CLUSTER = "1.28"


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_reason(name: str) -> None:
    values, words = REFUSED[name]
    with pytest.raises(Refused) as refusal:
        render(values, OLD_CLUSTER)
    assert words in str(refusal.value)


def test_an_older_cluster_than_the_chart_knows_is_refused() -> None:
    with pytest.raises(Refused, match="incompatible with Kubernetes"):
        render(KEYS, "1.27")


def test_all_that_is_wrong_is_told_at_once() -> None:
    values: Values = merged(KEYS, {"replicas": 2, "config": {"development": True, "port": 0}})
    with pytest.raises(Refused) as refusal:
        render(values)
    for words in ("replicas is 2", "publicly known", "config.port is 0"):
        assert words in str(refusal.value)


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 0},
        {"autoscaling": {"enabled": True}},
        {"replicas": 3, "independentNodes": True},
        {"kind": "DaemonSet", "nodeSelector": {"kubernetes.io/hostname": "node-1"}},
    ],
)
def test_one_server_or_several_that_are_wanted_are_taken(values: Values) -> None:
    assert render(merged(KEYS, values)).workload
