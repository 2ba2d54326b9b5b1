"""How containers run on a device.

Always true here: what runs is read from the machine, never from memory, so a new agent process
finds the containers that an old one left; only `DriverError` leaves a driver; a container outlives
the agent that started it; a zombie or a reused process id never counts as running.

A container is process group and session of its own, gets the module's listening socket as
descriptor 3 and those of its ports behind it (``LISTEN_FDS`` and ``LISTEN_FDNAMES``, as in
sd_listen_fds(3)), and writes to its log file directly.
Under systemd the agent's unit needs ``KillMode=process``, or stopping the agent stops them all.
"""
