"""What an object store may answer. No text of the store's library leaves: it may hold signed addresses."""

from cloud_hub.errors import HubError


class StoreError(HubError):
    """The object store did not do it: not there, too slow, broken off, or it refused us."""

    code = "store-failed"
    retriable = True


class StoreConfigError(HubError):
    """The address of an object store or its credentials are wrong."""

    code = "store-config-invalid"


class ReadCacheError(HubError):
    """What is asked for does not fit into the read cache."""

    code = "read-cache-too-small"
