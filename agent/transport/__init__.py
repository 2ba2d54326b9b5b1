"""How the device talks with its hub: a port, and one adapter for each kind of hub."""
