"""The hub: its HTTP API, the admin CLI `headland` and the Python SDK."""
