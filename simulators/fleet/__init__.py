"""Fleets of simulated devices: thousands in few processes, on the real wire.

Always true here: what a device says and decides is the agent's own code (the rule of acceptance, the planner,
the reports, the waits between tries, paho's client); only what lies below it is simulated (containers,
images, disk). So a device here holds no lock, no thread and no file of its own while it runs.
"""
