"""docs/security.md has every limit with its default, every rule's door, and nothing that is not there."""

import dataclasses

from cloud_hub.api.bodies import BodyLimits
from cloud_hub.api.connection import HeadLimits
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.confinement.limits import SandboxLimits
from cloud_hub.models.inspection.kinds import FRAMEWORK
from cloud_hub.models.inspection.limits import InspectionLimits
from cloud_hub.outbound.client import OutboundLimits
from cloud_hub.outbound.policy import OPEN_PORTS
from tests.docs.pages import page, rows_under

KINDS = [ArchiveLimits, InspectionLimits, OutboundLimits, BodyLimits, HeadLimits, SandboxLimits]


def limits() -> dict[str, str]:
    """Return every limit with its default."""
    return {
        f"{kind.__name__}.{field.name}": str(getattr(kind(), field.name))
        for kind in KINDS
        for field in dataclasses.fields(kind)
    }


def told(text: str) -> dict[str, str]:
    """Return every limit with its default as the page says it."""
    return {key: row[1].strip("`") for key, row in rows_under(text, "limit", "default").items()}


def test_every_limit_is_in_the_page() -> None:
    assert told(page("security.md")) == limits()


def test_a_planted_fault_of_the_page_is_found() -> None:
    assert told(page("security.md").replace("`20000`", "`20001`")) != limits()


def test_every_framework_and_port_is_in_the_page() -> None:
    text = page("security.md")
    # What is allowed by itself; pickles and PyTorch's, which hold them, are told of in words.
    for framework in set(FRAMEWORK.values()) - {"pickle", "pytorch"}:
        assert f"`{framework}`" in text
    ports = text.partition("ports but ")[2].partition("\n\n")[0].replace(",", " ").replace(".", " ").split()
    assert {int(word) for word in ports if word.isdigit()} == OPEN_PORTS
