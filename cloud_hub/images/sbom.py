"""What a software bill of materials says is inside: SPDX 2 and CycloneDX, both as JSON. Pure."""

from typing import Any

import msgspec

SPDX = "application/spdx+json"
CYCLONEDX = "application/vnd.cyclonedx+json"
SBOM_TYPES = (SPDX, CYCLONEDX)
MOST_PACKAGES = 5_000
LONGEST = 300


def packages_in(data: bytes) -> list[str]:
    """Return the packages as ``name==version``, sorted; nothing of a document that is neither kind.

    What stands for the image itself has no version, or is the document's own subject, and is left out.
    """
    try:
        document = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return []
    if not isinstance(document, dict):
        return []
    found = _pairs(document.get("packages"), "versionInfo") | _pairs(document.get("components"), "version")
    return sorted(found)[:MOST_PACKAGES]


def _pairs(entries: Any, version_key: str) -> set[str]:  # noqa: ANN401  whatever the document has there
    found = set()
    for entry in entries if isinstance(entries, list) else ():
        name, version = (
            (entry.get("name"), entry.get(version_key)) if isinstance(entry, dict) else (None, None)
        )
        if (
            isinstance(name, str)
            and isinstance(version, str)
            and name
            and version
            and version != "NOASSERTION"
        ):
            text = f"{name.lower()}=={version}"
            if len(text) <= LONGEST and text.isprintable():
                found.add(text)
    return found
