"""What chart repositories and registries are shown: the entry of `charts.access` that fits an address best."""

import pytest

from hub.registered import chart_access
from hub.settings import ChartSettings

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
