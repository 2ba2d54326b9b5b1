"""What can be wrong with the database."""

from cloud_hub.errors import HubError, HubSettingsError


class DatabaseUrlError(HubSettingsError):
    """The setting `database` is not a URL that the hub can use."""

    code = "database-url-invalid"


class DatabaseUnavailableError(HubError):
    """The database does not answer, or cannot write."""

    code = "database-unavailable"
    retriable = True


class SchemaNewerError(HubError):
    """The database was written by a newer release."""

    code = "schema-newer"
