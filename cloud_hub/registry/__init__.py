"""The OCI Distribution API, over blobs that the hub keeps."""
