"""The admin CLI `headland`, built on the SDK."""
