"""Simulated sensors, devices and faults, and the demo.

Always true here: the hub is known only over HTTPS and MQTT; of its package, only the public SDK
(which is that HTTPS) is imported.
"""
