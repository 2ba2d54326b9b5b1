"""Secrets of modules: read from the hub by the device's certificate, sealed on disk, handed over in memory.

No value is ever in clear in a file on a disk, an argument, an environment, a log or an error.
"""
