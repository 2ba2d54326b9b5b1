"""The image registry and image builds."""
