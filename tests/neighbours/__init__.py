"""Devices that give each other layers."""
