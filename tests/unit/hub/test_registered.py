"""What servers are shown: the entry of `charts.access` or `checks.access` that fits an address best."""

import pytest

from hub.registered import chart_access, check_access
from hub.settings import ChartSettings, CheckSettings

ACCESS = {
    "charts.example.com": {"token": "host"},
    "charts.example.com/team/": {"token": "team"},
    "127.0.0.1:5000": {"token": "here", "plain_http": True},
}


@pytest.mark.parametrize(
    ("address", "token", "plain_http"),
    [
        ("https://charts.example.com/index.yaml", "host", False),
        ("https://charts.example.com/team/index.yaml", "team", False),
        ("https://charts.example.com/v2/team/web/tags/list", "team", False),
        ("https://charts.example.com/v2/teams/web/tags/list", "host", False),
        ("http://127.0.0.1:5000/web", "here", True),
        ("http://127.0.0.1:5000/v2/web/tags/list", "here", True),
        ("https://other.example.com/charts.example.com/team", "", False),
        ("https://charts.example.com.evil.example/team", "", False),
    ],
)
def test_what_fits_best_is_shown(address, token, plain_http):
    found = chart_access(ChartSettings(access=ACCESS))(address)

    assert (found.token, found.plain_http) == (token, plain_http)


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("http://prometheus.monitoring:9090/api/v1/query", "in-cluster"),
        ("http://prometheus.monitoring:9091/api/v1/query", ""),
        ("https://shop.example.com", "host"),
        ("https://shop.example.com?a=/admin", "host"),
        ("https://shop.example.com/admin", "admin"),
        ("https://shop.example.com/admin/ready?deep=1", "admin"),
        ("https://shop.example.com.evil.example/admin", ""),
    ],
)
def test_what_fits_a_check_best_is_shown(address, token):
    access = {
        "prometheus.monitoring:9090": {"token": "in-cluster"},
        "shop.example.com": {"token": "host"},
        "shop.example.com/admin": {"token": "admin", "headers": {"X-Key": "key"}},
    }

    found = check_access(CheckSettings(access=access))(address)

    assert found.token == token
    assert found.headers == ({"X-Key": "key"} if token == "admin" else {})
    assert "key" not in repr(found)
