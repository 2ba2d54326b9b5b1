"""What the command needs, behind one import: all of it asks for the libraries of the extra `hub`."""

from collections.abc import Mapping

from cloud_hub.importing.draft import refusal
from cloud_hub.importing.errors import ImportOptionError
from cloud_hub.importing.greengrass import import_greengrass
from cloud_hub.importing.iot_edge import import_iot_edge
from cloud_hub.importing.names import Images
from cloud_hub.importing.reading import read_document
from cloud_hub.importing.targets import Choices
from cloud_hub.rollouts.manifest import ModuleSpec

__all__ = ["Choices", "images", "import_greengrass", "import_iot_edge", "read_document"]


def images(chosen: Mapping[str, str]) -> Images:
    """Return the images that a person chose, by reference; raises `ImportOptionError` where one cannot be."""
    for image in chosen.values():
        if why := refusal(ModuleSpec, {"image": image}):
            raise ImportOptionError(why, where="--image", fix="Write REFERENCE=NAME:VERSION.")
    return Images(chosen)
