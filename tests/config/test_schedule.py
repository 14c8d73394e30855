"""Schedules and windows: the beginnings that Argo CD's parser computes, and the end of a closed window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.gates import Gates, offset_of
from config.schedule import Schedule, Window, is_closed, opens_at


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Of robfig/cron 3.0.1, the parser of Argo CD 3.6.1.
@pytest.mark.parametrize(
    ("schedule", "after", "begins"),
    [
        ("0 2 * * sat", "2026-11-29 21:00", "2026-12-05 02:00"),
        ("0 2 * * SAT", "2026-12-05 02:00", "2026-12-12 02:00"),
        ("*/20 8-17/3 ? * 1-5", "2026-11-29 23:00", "2026-11-30 08:00"),
        ("*/20 8-17/3 ? * 1-5", "2026-11-30 08:40", "2026-11-30 11:00"),
        ("30 4 13 * fri", "2026-11-29 00:00", "2026-12-04 04:30"),  # either the day or the weekday
        ("30 4 */13 * fri", "2026-11-29 00:00", "2026-12-01 04:30"),  # a step restricts
        ("30 4 * * fri", "2026-11-29 00:00", "2026-12-04 04:30"),
        ("0 0 29 feb *", "2026-11-29 00:00", "2028-02-29 00:00"),
        ("5/20 1 1 jan,jul *", "2026-11-29 00:00", "2027-01-01 01:05"),
    ],
)
def test_a_schedule_begins_when_argo_cd_says_so(schedule: str, after: str, begins: str) -> None:
    assert Schedule.parse(schedule).after(at(after)) == at(begins)


def window(kind: str, schedule: str, hours: float, zone: str = "UTC", *, admits: bool = True) -> Window:
    parsed = Schedule.parse(schedule)
    return Window(kind == "allow", parsed, timedelta(hours=hours), offset_of(zone, at("2026-07-01 00:00")), admits)


def test_a_deny_closes_in_its_time_and_an_allow_outside_of_it() -> None:
    night = "0 2 * * *"
    for moment, inside in (("01:59", False), ("02:01", True), ("05:59", True), ("06:00", False)):
        now = at(f"2026-07-01 {moment}")
        assert is_closed([window("deny", night, 4)], now) == inside
        assert is_closed([window("allow", night, 4)], now) == (not inside)
    assert not is_closed([], at("2026-07-01 03:00"))


def test_a_deny_overrides_an_allow() -> None:
    both = [window("allow", "0 0 * * *", 24), window("deny", "0 2 * * *", 1)]
    assert is_closed(both, at("2026-07-01 02:30"))
    assert not is_closed(both, at("2026-07-01 03:30"))


def test_a_sync_by_hand_passes_where_each_blocking_window_admits_it() -> None:
    now = at("2026-07-01 03:00")
    admitting, refusing = window("deny", "0 2 * * *", 4), window("deny", "0 1 * * *", 4, admits=False)
    assert not is_closed([admitting], now, by_hand=True)
    assert is_closed([admitting, refusing], now, by_hand=True)
    assert opens_at([admitting, refusing], now, by_hand=True) == at("2026-07-01 05:00")
    assert opens_at([admitting, refusing], now) == at("2026-07-01 06:00")


def test_a_schedule_has_the_clock_of_its_time_zone() -> None:
    berlin = window("allow", "0 2 * * *", 1, "Europe/Berlin")
    assert not is_closed([berlin], at("2026-07-01 00:30"))
    assert opens_at([berlin], at("2026-07-01 02:30")) == at("2026-07-02 00:00")


@pytest.mark.parametrize(
    ("windows", "opens"),
    [
        ([("deny", "0 2 * * *", 4), ("deny", "0 5 * * *", 4)], "2026-07-01 09:00"),
        ([("allow", "0 2 * * sat", 4)], "2026-07-04 02:00"),
        ([("allow", "0 2 * * *", 1), ("deny", "0 0 * * 1-6", 8)], "2026-07-05 02:00"),
    ],
)
def test_the_end_of_a_closed_window_is_known(windows: list[tuple[str, str, float]], opens: str) -> None:
    made = [window(*one) for one in windows]
    assert is_closed(made, at("2026-07-01 03:00"))
    assert opens_at(made, at("2026-07-01 03:00")) == at(opens)


def test_windows_without_an_end_have_none() -> None:
    assert opens_at([window("deny", "* * * * *", 1)], at("2026-07-01 03:00")) is None
    assert opens_at([], at("2026-07-01 03:00")) is None


def test_gates_are_one_line() -> None:
    assert Gates().as_text() == "automatic sync"
    gates = Gates.model_validate(
        {
            "sync": "manual",
            "approval": "required",
            "signatures": "required",
            "signingKeys": ["5DE3E0509C47EA3CF04A42D34AEE18F83AFDEB23"],
            "windows": [{"kind": "deny", "schedule": "0 2 * * *", "duration": "90m"}],
        }
    )
    expected = "manual sync, deny 0 2 * * * for 90m (UTC), approval by the maintainers, signatures of 4AEE18F83AFDEB23"
    assert gates.as_text() == expected
