"""Bytes by content: one object-store port; the adapters are a folder, and S3, Azure Blob and GCS by URL."""
