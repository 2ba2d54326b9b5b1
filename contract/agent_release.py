"""A release of the agent: an OCI image whose layers hold ``lib``, with these labels in its configuration.

``lib`` is one folder for ``sys.path``: the package ``agent``, what it needs of ours, and its libraries.
"""

from typing import Final

VERSION_LABEL: Final = "dev.headland.agent.version"
PYTHON_LABEL: Final = "dev.headland.agent.python"
"""The one Python that its libraries are for: ``3.11``."""
STATE_LABEL: Final = "dev.headland.agent.state"
"""The format of the state folder that it writes, a number; docs/devices.md has the rule."""
STATE_FORMAT: Final = 1
KIND: Final = "agent"
"""An image's kind in the hub."""
ORDERED_AS: Final = "(agent)"
"""Where images are named by module: no module can have that name."""
