"""What the suites of this folder share."""

from tests.conformance.fixtures import azure_service, gcs_service, pipe, s3_service, service, store

__all__ = ["azure_service", "gcs_service", "pipe", "s3_service", "service", "store"]
