"""Rounded updates: a model whose weights are whole steps away from the last version's (docs/updates.md).

What always holds: all of it happens on the machine of the person who asks, before anything is registered.
Only models that they gave are run, in the same process as their own training would; the version of the hub
is read as bytes and never loaded. The hub, the signed documents and the devices know the rounded model alone,
by its digest.
"""
