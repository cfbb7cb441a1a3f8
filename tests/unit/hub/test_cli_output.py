"""What commands print: tables, ages, YAML that Kubernetes reads back, matrices, waterfalls."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.cli.matrix import MOST_CLUSTERS, by_state, headline, matrix, order_clusters
from hub.cli.output import Table, age, plain_table, printable
from hub.cli.timeline import waterfall
from hub.domain.yamldoc import load_documents
from hub.domain.yamltext import to_yaml

CLUSTERS = [{"name": "dev-eu-1", "environment": "dev"}, {"name": "prod-eu-1", "environment": "prod"}]


def unit(cluster, application, state, environment=""):
    return {"cluster": cluster, "application": application, "state": state, "environment": environment}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0s"), (0, "0s"), (0.02, "20ms"), (0.42, "0.4s"), (1, "1s"), (9.94, "9.9s"), (12, "12s"),
        (61, "1m1s"), (3600, "1h"), (7500, "2h5m"), (90000, "1d1h"),
    ],
)  # fmt: skip
def test_ages_are_short(seconds, shown):
    assert age(seconds) == shown


def test_plain_tables_cut_nothing():
    table = Table(("A", "LONG"), [("x", "y" * 300), ("second", "")])

    lines = plain_table(table).splitlines()

    assert lines[1].endswith("y" * 300)
    assert {line.index(cell) for line, cell in zip(lines, ("LONG", "y", ""), strict=True) if cell} == {9}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(values)
@example("y")
@example("1e3")
@example("08")
@example("0o17")
@example("1_000")
@example("2024-01-01")
@example("line one\nline two\n")
@example({"<<": "=", "no": "off"})
def test_printed_yaml_means_the_same_to_kubernetes(value):
    documents = load_documents(to_yaml({"value": value}), file="printed")

    assert documents[0].value == {"value": value}


def test_the_matrix_has_a_row_per_cluster_and_a_column_per_application():
    table = matrix([unit("dev-eu-1", "web", "Ready"), unit("prod-eu-1", "logs", "Failed")], CLUSTERS)

    assert table.columns == ("CLUSTER", "logs", "web")
    assert table.rows == [("dev-eu-1", "·", "Ready"), ("prod-eu-1", "Failed", "·")]


def test_many_clusters_are_shown_by_environment_worst_state_first():
    clusters = [{"name": f"c{number}", "environment": "prod"} for number in range(MOST_CLUSTERS + 1)]
    units = [unit(c["name"], "web", "Ready", "prod") for c in clusters[1:]] + [unit("c0", "web", "Failed", "prod")]

    table = matrix(units, clusters)

    assert table.rows == [("prod", "25", "Failed 1, Ready 24")]


def test_clusters_come_in_the_order_of_promotion():
    clusters = [
        {"name": "b", "environment": ""},
        {"name": "p", "environment": "prod"},
        {"name": "d", "environment": "dev"},
    ]

    assert [c["name"] for c in order_clusters(clusters, [{"name": "dev"}, {"name": "prod"}])] == ["d", "p", "b"]


def test_the_headline_counts_what_is_not_ready_first():
    found = headline(
        {
            "commit": "3f2a91cdeadbeef",
            "clusters": {"total": 6, "stale": 1},
            "applications": 4,
            "units": {"total": 22, "Ready": 20, "Failed": 2},
        }
    )

    assert found == "commit 3f2a91c · 6 clusters (1 stale) · 4 applications · 22 units: 2 Failed, 20 Ready"
    assert by_state({"total": 3}) == ""


@pytest.mark.parametrize(
    ("problems", "end"),
    [
        ({"error": 1, "warning": 2}, "1 unit · 1 error, 2 warnings: yardarm get problems"),
        ({"error": 0, "warning": 1}, "1 unit · 1 warning: yardarm get problems"),
        ({"error": 0, "warning": 0}, "1 unit"),
    ],
)
def test_the_headline_tells_of_findings(problems, end):
    fleet = {"commit": "", "clusters": {"total": 1}, "applications": 1, "units": {"total": 1}, "problems": problems}
    assert headline(fleet).endswith(end)


def trace(**more):
    return {
        "application": "web",
        "revision": "abcdef0123456789",
        "commit": {"sha": "3f2a91cdeadbeef", "subject": "web: bigger", "author": "Ada", "at": 990.0},
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "times": {"committed": 998.0, "detected": 1000.0, "planned": 1000.1, "rendered": 1000.2, "published": 1000.3},
        "clusters": [
            {
                "cluster": "dev-eu-1", "state": "Ready", "reason": "", "published": 1000.3, "delivered": 1000.4,
                "fetched": 1000.4, "applied": 1000.6, "healthy": 1002.0, "seconds": 2.0,
            },
            {
                "cluster": "prod-us-1", "state": "Waiting", "reason": "nobody is there", "published": 1000.3,
                "delivered": None, "fetched": None, "applied": None, "healthy": None, "seconds": None,
            },
        ],
        "total": 2,
        "healthy": 1,
        "seconds": {"p50": 2.0, "p99": 2.0, "max": 2.0},
    } | more  # fmt: skip


def test_the_waterfall_names_the_commit_and_every_cluster():
    lines = list(waterfall(trace(), 100))

    assert lines[0] == "web: commit 3f2a91c “web: bigger” by Ada"
    assert "seen 2s after it was committed" in lines[1]
    assert any(line.startswith("dev-eu-1") and line.endswith("2s") and "█" in line and "▓" in line for line in lines)
    assert any(line.startswith("prod-us-1") and line.endswith("nobody is there") and "▓" not in line for line in lines)
    assert "healthy on 1 of 2 clusters" in lines[-1]


@example([0.0, None, None, 5e-324, None], 30)
@given(st.lists(st.floats(0, 1e4) | st.none(), min_size=5, max_size=5), st.integers(30, 200))
def test_a_waterfall_can_be_drawn_of_any_times(times, width):
    names = ("published", "delivered", "fetched", "applied", "healthy")
    row = {"cluster": "c", "state": "Ready", "reason": "", "seconds": None} | dict(zip(names, times, strict=True))

    lines = list(waterfall(trace(clusters=[row], times={}), width))

    assert sum(line.startswith("c ") for line in lines) == 1


def test_other_peoples_words_do_not_steer_the_terminal():
    table = plain_table(Table(("A", "B"), [("\x1b[2Jx", "one\ntwo\x9b")]))

    assert table == "A       B\n [2Jx   one two"
    assert printable("a\nb\x1b", keep="\n") == "a\nb "
