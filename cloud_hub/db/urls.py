"""The setting ``database``: a PostgreSQL URL without a secret in it."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cloud_hub.errors import HubSettingsError

SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
SECRETS = frozenset({"password", "sslpassword"})
EXAMPLE = "postgresql://headland@db.example.org/headland"


def postgresql_url(text: str) -> URL:
    """Return the setting as a URL for psycopg 3.

    Raises `HubSettingsError`, which never repeats the text: what is wrong may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise HubSettingsError(  # not `from`: the cause repeats a piece of the text
            "not a database URL",
            where="database",
            fix=f"Write it as {EXAMPLE}, or leave it empty for SQLite.",
        ) from None
    if url.drivername not in SCHEMES:
        raise HubSettingsError(
            "only PostgreSQL is reached by URL",
            where="database",
            fix=f"Write it as {EXAMPLE}, or leave it empty for SQLite in the data folder.",
        )
    if url.password is not None or SECRETS & url.query.keys():
        raise HubSettingsError(
            "the URL carries a password; settings hold no secret",
            where="database",
            fix="Take it out; give it in ~/.pgpass (mode 0600), in the file of PGPASSFILE, or in PGPASSWORD.",
        )
    return url.set(drivername="postgresql+psycopg")
