"""Datastores: where a workspace's files are. Each has one of its own in the hub's store; others are attached.

Always true here: a credential comes from the workspace's secrets and goes to that store alone; a
folder or an endpoint is used only where the hub's owner allows it.
"""
