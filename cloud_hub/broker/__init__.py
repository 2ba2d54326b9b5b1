"""The hub's message broker: NATS server as a child process, with its MQTT listener for devices.

Always true here: a connection is let in only as the hub itself (three NATS keys of its own) or as
the device that its verified certificate and its MQTT client id both name, and then with exactly
the topics that `contract.topics` gives that device; whatever cannot be decided is refused. Nothing
that the broker acknowledges to a device counts as stored. No secret is written to the server's
configuration or log. The rest of the hub sees `port.Bus` only.
"""
