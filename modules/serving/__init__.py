"""The scoring server: process 1 of every scoring container, ``python -m modules.serving``.

Always true here:

- imports are the contract, the standard library, msgspec, numpy, onnxruntime, httptools and uvloop;
- the listening socket belongs to the agent and is shared with the module's previous and next
  version: it is never shut down, unlinked or made blocking, only our copy of it is closed;
- a request that was taken in is answered, also while the server drains;
- scoring never waits for telemetry, and no input data reaches a log or an error message.
"""
