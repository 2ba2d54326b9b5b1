"""Why the keys of a container that Headland has no counterpart for are not carried over. Pure."""

from typing import Final

Reason = tuple[str, str]
"""Why, and what to do."""

BUILT_IN: Final = "it is the image's, and a rollout does not change it"
BUILD: Final = "set it in the image: build one on it, and register that"
NO_NETWORK: Final = "a module has no network but what it asks for, and no names of other modules in it"
NETWORK: Final = "give it `access.hostNetwork: true`, or `access.ports`, whichever it needs"
LIMITED: Final = "a module's limits are memory, CPUs and processes"
LIMITS: Final = "set `limits` by what it needs"
WALLS: Final = "the walls of a container are the device's, and only `access` opens some of them"
ACCESS: Final = "ask for what it needs in `access`"
OWNER: Final = "it is the device's, not a module's"

OF_CONTAINER: Final[dict[str, Reason]] = {
    "Entrypoint": ("a rollout gives the image's entry point other arguments, not another entry point", BUILD),
    "User": (BUILT_IN, BUILD),
    "WorkingDir": (BUILT_IN, BUILD),
    "Hostname": (NO_NETWORK, "let the program take its name from its environment"),
    "Domainname": (NO_NETWORK, "let the program take its name from its environment"),
    "MacAddress": (NO_NETWORK, NETWORK),
    "NetworkingConfig": (NO_NETWORK, NETWORK),
    "NetworkDisabled": ("a module has no network but what it asks for", "nothing, if it was true"),
    "ExposedPorts": ("it only tells what the image listens on", "nothing: `access.ports` has what is bound"),
    "Labels": ("containers of modules have the agent's own labels", "tag the image or the devices"),
    "Volumes": ("an unnamed volume would be lost with its container", "name one in `access.volumes`"),
    "Tty": ("nobody sits before a module", "nothing, if it was for a look"),
    "OpenStdin": ("nobody sits before a module", "nothing, if it was for a look"),
    "StopSignal": ("a module is stopped by SIGTERM, then by SIGKILL", "let the program listen to SIGTERM"),
    "Shell": (BUILT_IN, BUILD),
    "Name": ("a container is known by its module's name", "nothing"),
    "Pull": ("what a device lacks is always pulled, by digest", "nothing"),
    "Platform": ("an image has its platforms inside", "copy all of them"),
}
_MEMORY: Final = "MemorySwap MemorySwappiness MemoryReservation KernelMemory OomKillDisable OomScoreAdj"
_SHARES: Final = """
CpuShares CpuPeriod CpusetCpus CpusetMems CpuRealtimePeriod CpuRealtimeRuntime CpuCount CpuPercent Ulimits
ShmSize BlkioWeight StorageOpt
"""
_NAMES: Final = "Dns DnsOptions DnsSearch ExtraHosts Links PublishAllPorts"
_WALLS: Final = """
SecurityOpt IpcMode PidMode UsernsMode UTSMode CgroupnsMode Cgroup CgroupParent GroupAdd Sysctls MaskedPaths
ReadonlyPaths DeviceCgroupRules Isolation
"""
OF_HOST: Final[dict[str, Reason]] = {
    **dict.fromkeys(_MEMORY.split(), (f"{LIMITED}; there is no swap", LIMITS)),
    **dict.fromkeys(_SHARES.split(), (LIMITED, LIMITS)),
    **dict.fromkeys(_NAMES.split(), (NO_NETWORK, NETWORK)),
    **dict.fromkeys(_WALLS.split(), (WALLS, ACCESS)),
    "DeviceRequests": ("a GPU is a device like others", "name its nodes in `access.devices`"),
    "Runtime": (f"{OWNER}: its agent has a driver", "set `driver` in agent.toml"),
    "LogConfig": (f"{OWNER}: its agent keeps and turns logs", "set `logs.max_bytes` in agent.toml"),
    "LogOpt": (f"{OWNER}: its agent keeps and turns logs", "set `logs.max_bytes` in agent.toml"),
    "RestartPolicy": (
        "the engine's own restarts are not used; `lifecycle.restart` is the module's",
        "nothing",
    ),
    "AutoRemove": ("the agent removes containers itself", "nothing"),
    "Tmpfs": ("a module has one private /tmp", "use /tmp, or a volume with `keep: false`"),
    "VolumesFrom": ("a volume is one module's", "name a `hostPath` that both may have"),
    "VolumeDriver": ("a volume is a folder of the device", "mount it on the device, and name a `hostPath`"),
    "Init": ("what a container leaves behind is ended with it", "nothing"),
    "ContainerIDFile": (OWNER, "nothing"),
}
