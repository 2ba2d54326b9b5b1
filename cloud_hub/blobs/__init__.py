"""Bytes by content: one object-store port; the adapter here is a folder."""
