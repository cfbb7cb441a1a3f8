"""Windows and freezes: open exactly when a clock on the wall of the time zone says so, also when it is changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.documents import EnvironmentSpec
from hub.domain.fleet import build_fleet
from hub.domain.preview.markdown import markdown
from hub.domain.preview.model import ApplicationChange, Preview, Side
from hub.domain.preview.planning import plan
from hub.domain.reading import FleetDocument, read_documents
from hub.domain.windows import opening


def environment(windows=(), freezes=()) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate_json(json.dumps({"windows": windows, "freezes": freezes}))


def window(allow, length, timezone="UTC"):
    return {"allow": allow, "for": length, "timezone": timezone}


def freeze(begin, end, timezone="UTC", reason=""):
    return {"from": begin, "to": end, "timezone": timezone, "reason": reason}


def at(text, zone="UTC", fold=0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def spells(spec, begin, end):
    """(from, open) of every spell between two moments, as `changes` tells them."""
    found, now = [], begin
    while now is not None and now < end:
        state = opening(spec, now)
        if not found or found[-1][1] != state.open:
            found.append((now, state.open))
        assert state.changes is None or state.changes > now
        now = state.changes
    return found


def test_without_windows_and_freezes_it_is_always_open():
    found = opening(environment(), at("2026-11-26T12:00"))

    assert (found.open, found.changes, found.reason) == (True, None, "")


def test_a_window_opens_by_the_clock_of_its_zone_and_closes_by_the_stopwatch():
    prod = environment([window("0 22 * * 1-4", "4h", "Europe/Madrid")])
    before, inside = at("2026-11-29T12:00"), at("2026-11-30T23:30", "Europe/Madrid")

    closed, opened = opening(prod, before, "prod"), opening(prod, inside, "prod")

    assert not closed.open
    assert closed.changes == at("2026-11-30T22:00", "Europe/Madrid")
    assert closed.reason == "outside the window of prod: opens Mon 30 Nov 22:00 Europe/Madrid"
    assert (opened.open, opened.changes, opened.reason) == (True, at("2026-12-01T02:00", "Europe/Madrid"), "")


def test_both_ends_of_a_window_and_of_a_freeze():
    prod = environment([window("0 8 * * *", "2h")], [freeze("2026-12-02T08:30", "2026-12-02T09:00")])
    is_open = {
        text: opening(prod, at(text) + after).open
        for text, after in [
            ("2026-12-01T07:59:59.500", 0), ("2026-12-01T08:00", 0), ("2026-12-01T10:00", -0.001), ("2026-12-01T10:00:00", 0),
            ("2026-12-02T08:30", -0.001), ("2026-12-02T08:30:00", 0), ("2026-12-02T09:00", -0.001), ("2026-12-02T09:00:00", 0),
        ]
    }  # fmt: skip

    assert list(is_open.values()) == [False, True, True, False, True, False, False, True]


def test_windows_that_meet_are_one():
    prod = environment([window("0 8 * * *", "2h"), window("0 10 * * *", "1h"), window("30 9 * * *", "10m")])

    assert opening(prod, at("2026-12-01T08:00")).changes == at("2026-12-01T11:00")


def test_a_window_in_the_hour_that_is_skipped_opens_after_it():
    night = environment([window("30 2 * * *", "1h", "Europe/Madrid")])  # 29 March 2026: 02:00 is 03:00

    assert spells(night, at("2026-03-29T00:00"), at("2026-03-29T12:00")) == [
        (at("2026-03-29T00:00"), False),
        (at("2026-03-29T03:00", "Europe/Madrid"), True),
        (at("2026-03-29T04:00", "Europe/Madrid"), False),
    ]


def test_in_the_hour_that_comes_twice_a_window_opens_once_and_lasts_as_long_as_ever():
    night = environment([window("30 2 * * *", "1h", "Europe/Madrid")])  # 25 October 2026: 03:00 is 02:00 again
    first = at("2026-10-25T02:30", "Europe/Madrid")

    assert spells(night, first - 3600, first + 6 * 3600) == [
        (first - 3600, False), (first, True), (first + 3600, False)
    ]  # fmt: skip


def test_a_window_that_opens_all_the_time_has_no_hole_when_the_clock_is_put_back():
    often = environment([window("*/15 * * * *", "15m", "Europe/Madrid")])
    begin = at("2026-10-24T22:00")

    assert spells(often, begin, begin + 8 * 3600) == [(begin, True)]


def test_days_that_meet_leave_the_hour_that_a_day_is_longer():
    days = environment([window("0 0 * * *", "24h", "Europe/Madrid")])
    midnight = at("2026-10-26T00:00", "Europe/Madrid")

    assert spells(days, at("2026-10-01T12:00"), midnight + 3600) == [
        (at("2026-10-01T12:00"), True), (midnight - 3600, False), (midnight, True)
    ]  # fmt: skip


def test_a_freeze_of_days_beats_windows_and_says_why():
    prod = environment(
        [window("0 22 * * *", "4h", "Europe/Madrid")],
        [freeze("2026-12-20", "2027-01-01", "Europe/Madrid", "end of year")],
    )

    inside = opening(prod, at("2026-12-24T22:30", "Europe/Madrid"), "prod")
    last = opening(prod, at("2026-12-19T23:30", "Europe/Madrid"))

    assert inside.reason == "frozen until Sat 2 Jan 00:00 Europe/Madrid: end of year"
    assert inside.changes == at("2027-01-02T00:00", "Europe/Madrid")  # in the window of the evening before
    assert (last.open, last.changes) == (True, at("2026-12-20T00:00", "Europe/Madrid"))


def test_a_window_that_a_freeze_covers_is_not_the_next_one():
    prod = environment(
        [window("0 8 * * *", "1h")], [freeze("2026-12-02", "2026-12-03"), freeze("2026-12-04", "2026-12-04")]
    )

    found = opening(prod, at("2026-12-01T12:00"), "prod")

    assert found.changes == at("2026-12-05T08:00")
    assert found.reason == "outside the window of prod: opens Sat 5 Dec 08:00 UTC"


def test_freezes_alone_close_what_is_open():
    prod = environment(
        freezes=[freeze("2026-12-02T10:00", "2026-12-02T12:00"), freeze("2026-12-02T11:00", "2026-12-02T13:00")]
    )

    assert spells(prod, at("2026-12-01T00:00"), at("2027-12-01T00:00")) == [
        (at("2026-12-01T00:00"), True), (at("2026-12-02T10:00"), False), (at("2026-12-02T13:00"), True)
    ]  # fmt: skip
    assert opening(prod, at("2026-12-02T10:30")).changes == at("2026-12-02T13:00")
    assert opening(prod, at("2026-12-03T00:00")).changes is None


def test_a_freeze_to_a_time_that_comes_twice_ends_with_the_second():
    night = environment(freezes=[freeze("2026-10-25T02:30", "2026-10-25T02:45", "Europe/Madrid")])

    assert opening(night, at("2026-10-25T02:30", "Europe/Madrid")).changes == at("2026-10-25T02:45", "Europe/Madrid", 1)


def test_what_is_far_away_has_its_year():
    rare = environment([window("0 0 29 2 *", "1h")])

    assert opening(rare, at("2026-12-01T00:00")).reason == "outside the window: opens Tue 29 Feb 2028 00:00 UTC"


CLOCK_CHANGES = {
    "Europe/Madrid": ["2026-03-28", "2026-10-24"],
    "America/New_York": ["2026-03-07", "2026-10-31"],
    "Australia/Lord_Howe": ["2026-04-04", "2026-10-03"],  # by half an hour
    "America/Havana": ["2026-03-07", "2026-10-31"],  # at midnight
    "Africa/Cairo": ["2026-04-23", "2026-10-29"],  # at midnight, and 24:00 is 23:00
    "Antarctica/Troll": ["2026-03-28", "2026-10-24"],  # by two hours
    "Pacific/Apia": ["2011-12-29"],  # a whole day is skipped
    "Asia/Kathmandu": ["2026-06-01"],  # never, and 5:45 from UTC
}
MINUTE, HOUR = 60, 3600
DAYS = 3


@st.composite
def lines(draw):
    """A cron line as (text, minutes, hours, weekdays, running); Sunday is 0."""
    minutes = draw(st.sampled_from([[0], [30], [15, 45], list(range(0, 60, 20)), [59]]))
    hours = draw(st.one_of(st.just(list(range(24))), st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)))
    weekdays = draw(st.sampled_from([list(range(7)), [0], [0, 6], [4, 5]]))
    minute = "*/20" if len(minutes) == 3 else ",".join(map(str, minutes))
    hour = "*" if len(hours) == 24 else ",".join(map(str, sorted(hours)))
    weekday = "*" if len(weekdays) == 7 else ",".join(map(str, weekdays))
    return f"{minute} {hour} * * {weekday}", set(minutes), set(hours), set(weekdays), "*" in (minute[0], hour[0])


def by_brute_force(line, length, zone, begin, minutes):
    """For each minute whether the window is open, by looking at a clock every minute."""
    _, wanted_minutes, wanted_hours, wanted_days, running = line

    def wanted(local):
        fits = local.minute in wanted_minutes and local.hour in wanted_hours
        return fits and local.isoweekday() % 7 in wanted_days

    opened, until = [], 0.0
    before = None
    for number in range(-length // MINUTE, minutes):
        moment = begin + number * MINUTE
        local = datetime.fromtimestamp(moment, zone)
        shown = local.replace(tzinfo=None, fold=0)
        starting = wanted(local) and (running or not local.fold)
        while before is not None and (before := before + timedelta(minutes=1)) < shown:
            starting = starting or wanted(before)
        before = shown
        if starting:
            until = moment + length
        if number >= 0:
            opened.append(moment < until)
    return opened


@settings(max_examples=60, deadline=None)
@example(("*/20 0,1 * * *", {0, 20, 40}, {0, 1}, set(range(7)), True), 600, "Africa/Cairo", 0)
@example(("*/20 2 * * *", {0, 20, 40}, {2}, set(range(7)), True), 600, "Australia/Lord_Howe", 1)
@example(("0 0 * * 5", {0}, {0}, {5}, False), HOUR, "Pacific/Apia", 0)
@given(
    lines(),
    st.sampled_from([10 * MINUTE, HOUR, 4 * HOUR, 26 * HOUR]),
    st.sampled_from(sorted(CLOCK_CHANGES)),
    st.integers(0, 1),
)
def test_it_is_open_exactly_when_the_clock_says_so(line, length, name, change):
    days = CLOCK_CHANGES[name]
    zone = ZoneInfo(name)
    begin = datetime.fromisoformat(days[change % len(days)]).replace(tzinfo=UTC).timestamp()
    minutes = DAYS * 24 * 60

    expected = by_brute_force(line, length, zone, begin, minutes)
    told = spells(environment([window(line[0], f"{length}s", name)]), begin, begin + minutes * MINUTE)

    changed = [number for number in range(minutes) if number == 0 or expected[number] != expected[number - 1]]
    assert told == [(begin + number * MINUTE, expected[number]) for number in changed]


moments = st.builds(
    "2026-10-{:02}T{:02}:{:02}:{:02}".format,
    st.integers(24, 27), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(lines(), st.sampled_from(["10m", "3h"]), st.sampled_from(sorted(CLOCK_CHANGES))), max_size=2),
    st.lists(st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1]), max_size=3),
    st.integers(0, 48 * 12),
)
def test_never_open_in_a_freeze_and_nothing_changes_before_it_is_said_to(windows, freezes, fives):
    spec = environment(
        [window(line[0], length, name) for line, length, name in windows],
        [freeze(begin, end, "America/Havana") for begin, end in freezes],
    )
    now = at("2026-10-25T00:00") + fives * 300

    found = opening(spec, now)

    for each in spec.freezes:
        assert not opening(spec, each.begin).open
        assert not opening(spec, each.end - 1).open
    assert (found.reason == "") is found.open
    known = found.changes if found.changes is not None else now + 86_400
    assert all(opening(spec, moment).open is found.open for moment in ((now + known) / 2, known - 1))
    if known < now + 86_400:
        assert opening(spec, known).open is not found.open


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("windows: [{allow: 0 0 30 2 *, for: 1h}]", "never fires"),
        ("windows: [{allow: 0 0 */3 2 MON#5, for: 1h}]", "never fires"),
        ("windows: [{allow: 0 24 * * *, for: 1h}]", "'0 24 * * *' is not a cron line: bad hour (fields are"),
        ("windows: [{allow: 0 22 * *, for: 1h}]", "it has 4 fields and not five (write minute, hour, day, month"),
        ("windows: [{allow: 0 22 * * *, for: 0s}]", "never open (say how long: `for: 4h`)"),
        ("windows: [{allow: 0 22 * * *, for: 1h, timezone: europe/madird}]", "did you mean 'Europe/Madrid'?"),
        ("windows: [{allow: 0 22 * * *, for: 1h, timezone: Madrid}]", "did you mean 'Europe/Madrid'?"),
        ("windows: [{allow: 0 22 * * *, for: 1h, timezone: ../x}]", "there is no time zone '../x'"),
        ("windows: [{allow: 0 22 * * *, for: 1h, timezone: Europe}]", "there is no time zone 'Europe'"),
        (
            "freezes: [{from: 2026-12-20, to: 2026-12-19}]",
            "the freeze is empty: it begins 2026-12-20 and ends 2026-12-19",
        ),
        ("freezes: [{from: '2026-12-20T10:00', to: '2026-12-20T10:00'}]", "the freeze is empty"),
        ("freezes: [{from: 2026-02-30, to: 2026-03-01}]", "'2026-02-30' is no day of the calendar"),
        ("freezes: [{from: '2026-12-20T10:00Z', to: 2026-12-24}]", "neither a day nor a time (write a day like"),
    ],
)
def test_what_can_never_be_is_an_error_with_file_line_and_cure(spec, said):
    text = f"apiVersion: yardarm.dev/v1alpha1\nkind: Environment\nmetadata: {{name: prod}}\nspec:\n  {spec}\n"

    (rejected,) = read_documents(text, file="fleet/prod.yaml")

    (problem,) = rejected.problems
    assert said in str(problem)
    assert "fleet/prod.yaml:5" in str(problem)
    assert problem.hint


@settings(max_examples=100, deadline=None)
@given(st.text("0123456789*/,-#LW MON", min_size=1, max_size=20))
def test_whatever_the_line_it_is_read_or_refused(line):
    text = json.dumps(
        {
            "apiVersion": "yardarm.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "prod"},
            "spec": {"windows": [window(line, "1h")]},
        }
    )  # fmt: skip

    (read,) = read_documents(text, file="prod.yaml")

    if isinstance(read, FleetDocument):
        assert opening(read.resource.spec, at("2026-11-26T12:00")).changes is not None


FLEET = """
apiVersion: yardarm.dev/v1alpha1
kind: Environment
metadata: {name: dev}
spec: {clusters: [dev-1]}
---
apiVersion: yardarm.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec:
  order: 1
  clusters: [prod-1]
  windows: [{allow: 0 22 * * 1-4, for: 4h, timezone: Europe/Madrid}]
  freezes:
    - {from: 2025-12-20, to: 2026-01-02, reason: a year ago}
    - {from: 2026-12-20, to: 2027-01-02, reason: end of year}
---
apiVersion: yardarm.dev/v1alpha1
kind: Application
metadata: {name: web}
spec: {rollout: {stages: [{name: first, environments: [dev]}, {name: last, environments: [prod]}]}}
"""


def test_a_plan_says_which_windows_a_wave_waits_for():
    clusters = [
        f"---\napiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {name}}}\n"
        for name in ("dev-1", "prod-1")
    ]
    model = build_fleet(read_documents(FLEET + "".join(clusters), file="fleet.yaml"))
    preview = Preview(Side("a"), Side("b"), 2, (ApplicationChange("web", "changed", ("dev-1", "prod-1")),))

    made = plan(preview, model, {}, at("2026-11-29T12:00"))

    closed = "outside the window: opens Mon 30 Nov 22:00 Europe/Madrid"
    (web,) = made.applications
    first, last = web.waves
    assert first.before == ()
    assert last.before == (
        "first is healthy",
        "prod is in a window (0 22 * * 1-4 for 4h Europe/Madrid)",
        f"prod is not frozen (2026-12-20 to 2027-01-02 UTC: end of year); now it is {closed}",
    )
    assert "prod is in a window (0 22 \\* \\* 1-4 for 4h Europe/Madrid)" in markdown(preview, made)
