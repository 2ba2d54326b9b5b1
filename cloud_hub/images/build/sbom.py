"""The software bill of materials of one platform's image: SPDX 2.3 as JSON; pure but for reading wheels.

The same image gives the same bytes: the document's time is 0, and its name is the image's digest.
"""

import zipfile
from collections.abc import Mapping, Sequence
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any, Final
from urllib.parse import quote

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from cloud_hub.images.build.bases import SystemPackage
from cloud_hub.images.build.lock import locked_wheels
from cloud_hub.images.build.ports import BuildInputs, Wheel
from cloud_hub.version import VERSION
from contract.digests import hex_of
from contract.encoding import canonical

MEDIA_TYPE: Final = "application/spdx+json"
EPOCH: Final = "1970-01-01T00:00:00Z"
_UNSAID: Final = "NOASSERTION"
_METADATA_LIMIT_BYTES: Final = 1 << 20
_COMMENT_LIMIT: Final = 200


def sbom_of(
    manifest_digest: str,
    platform: str,
    inputs: BuildInputs,
    wheels: Sequence[Wheel],
    system: Sequence[SystemPackage],
) -> bytes:
    """Return the document: the image, its model, the scoring server, Python packages, the base's packages."""
    name = f"{inputs.model_name}:{inputs.model_version}"
    image = _package("image", name, str(inputs.model_version), "oci", digest=manifest_digest)
    image["primaryPackagePurpose"] = "CONTAINER"
    model = _package(
        "model", inputs.model_name, str(inputs.model_version), "generic", digest=inputs.model_digest
    )
    server = _package("server", "headland", VERSION, "pypi")
    packages = [image, model, server, *map(_of_wheel, wheels), *map(_of_base, system)]
    inside = [
        {
            "spdxElementId": image["SPDXID"],
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": one["SPDXID"],
        }
        for one in packages[1:]
    ]
    describes = {
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": image["SPDXID"],
    }
    return canonical(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"{name} for {platform}",
            "documentNamespace": f"urn:headland:sbom:{manifest_digest}",
            "creationInfo": {"created": EPOCH, "creators": [f"Tool: headland-{VERSION}"]},
            "packages": packages,
            "relationships": [describes, *inside],
        }
    )


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _of_wheel(wheel: Wheel) -> dict[str, Any]:
    (locked,) = locked_wheels((wheel,))
    found = _package("pypi", locked.name, locked.version, "pypi", digest=wheel.digest)
    found["packageFileName"] = wheel.filename
    if wheel.source is not None:
        found["sourceInfo"] = f"built on the hub from {wheel.source.filename} ({wheel.source.digest})"
    licence, said = _licence(_metadata(wheel))
    found["licenseDeclared"] = licence
    if said:
        found["licenseComments"] = said
    return found


def _of_base(one: SystemPackage) -> dict[str, Any]:
    arch = {"arch": one.architecture} if one.kind.startswith("deb/") else {}
    return _package("base", one.name, one.version, one.kind, arch, digest=one.digest)


def _package(
    group: str,
    name: str,
    version: str,
    kind: str,
    qualifiers: Mapping[str, str] | None = None,
    *,
    digest: str = "",
) -> dict[str, Any]:
    plain = "".join(char if char.isascii() and (char.isalnum() or char in ".-") else "-" for char in name)
    rest = "&".join(f"{key}={quote(value)}" for key, value in (qualifiers or {}).items())
    if kind == "oci":
        purl = f"pkg:oci/{quote(name.partition(':')[0])}@{quote(digest, safe='')}"
    else:
        purl = f"pkg:{kind}/{quote(name)}@{quote(version, safe='.-_~')}" + (f"?{rest}" if rest else "")
    found: dict[str, Any] = {
        "SPDXID": f"SPDXRef-{group}-{plain}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": _UNSAID,
        "filesAnalyzed": False,
        "licenseConcluded": _UNSAID,
        "licenseDeclared": _UNSAID,
        "copyrightText": _UNSAID,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }
        ],
    }
    if digest:
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": hex_of(digest)}]
    return found


def _metadata(wheel: Wheel) -> Message:
    with zipfile.ZipFile(wheel.path) as archive:
        for info in archive.infolist():
            folder, _, name = info.filename.partition("/")
            if (
                folder.endswith(".dist-info")
                and name == "METADATA"
                and info.file_size < _METADATA_LIMIT_BYTES
            ):
                return BytesHeaderParser().parsebytes(archive.read(info))
    return Message()


def _licence(metadata: Message) -> tuple[str, str]:
    """Return an SPDX expression, and in words what the wheel says where that is none."""
    said = str(metadata.get("License-Expression") or metadata.get("License") or "").strip()
    try:
        return canonicalize_license_expression(said), ""
    except InvalidLicenseExpression:
        classifiers = [
            str(one).rpartition(" :: ")[2]
            for one in metadata.get_all("Classifier") or []
            if str(one).startswith("License ::")
        ]
        words = said.splitlines()[0] if said else ""
        return _UNSAID, "; ".join(dict.fromkeys([words, *classifiers] if words else classifiers))[
            :_COMMENT_LIMIT
        ]
