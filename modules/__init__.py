"""What runs inside containers: the scoring server, and sample modules.

Always true here: nothing but `contract` is imported from Headland, and the agent is reached only
through the socket that it mounts into the container.
"""
