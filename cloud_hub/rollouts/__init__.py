"""Rollout manifests, and the signed desired documents made of them."""
