"""Prints what a Python says about itself as JSON; run by `interpreter.describe` in that Python."""

import json
import sys
import sysconfig

# What code at run time may ask of sysconfig; the rest of its table describes the building machine.
VARIABLES = (
    "ABIFLAGS",
    "EXT_SUFFIX",
    "MULTIARCH",
    "Py_DEBUG",
    "Py_ENABLE_SHARED",
    "Py_GIL_DISABLED",
    "SHLIB_SUFFIX",
    "SOABI",
    "VERSION",
)


def main() -> None:
    """Print the facts."""
    known = sysconfig.get_config_vars()
    facts = {
        "prefix": sys.base_prefix,
        "stdlib": sysconfig.get_path("stdlib"),
        "platstdlib": sysconfig.get_path("platstdlib"),
        "platlibdir": sys.platlibdir,
        "cache_tag": sys.implementation.cache_tag,
        "build": f"{sys.implementation.name} {sys.version}",
        "sysconfigdata": sysconfig._get_sysconfigdata_name(),  # type: ignore[attr-defined]  # no public name
        "variables": {name: known[name] for name in VARIABLES if known.get(name) is not None},
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main()
