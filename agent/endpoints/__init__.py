"""The sockets on a device: what a module serves on, and what it talks to its agent through.

Always true here: the agent binds, a container is only ever handed a descriptor; a client that
connects is never refused because of an update or a restart of the agent.
"""
