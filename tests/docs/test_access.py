"""docs/api.md has the policy as it is, and docs/access.md the limits as they are."""

from datetime import timedelta

from cloud_hub.access.limits import MOST, WINDOW, Kind
from cloud_hub.access.passwords import SHORTEST
from cloud_hub.access.policy import POLICY
from cloud_hub.access.tokens import INVITATION, SESSION
from tests.docs.pages import page, rows_under


def test_the_table_of_routes_is_the_policy() -> None:
    rows = rows_under(page("api.md"), "route", "who")
    assert {route: row[1] for route, row in rows.items()} == POLICY


def test_the_limits_are_those_of_the_code() -> None:
    rows = rows_under(page("access.md"), "what", "failures")
    kinds: tuple[Kind, ...] = ("password", "address", "token", "enrolment", "device-secret", "renewal")
    assert [int(row[1]) for row in rows.values()] == [MOST[kind] for kind in kinds]
    assert timedelta(minutes=15) == WINDOW
    assert (12, timedelta(hours=12), timedelta(hours=72)) == (SHORTEST, SESSION, INVITATION)
