"""The list of what a release is made of, as an SPDX 2.3 document in JSON (spdx.github.io/spdx-spec/v2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from argosy.formats.debcontrol import Package

_UNKNOWN = "NOASSERTION"
_NAMESPACE = "urn:argosy:release"


def document(
    packages: Iterable[Package], *, name: str, version: str, licence: str, time_s: int, identity: str
) -> dict[str, Any]:
    """A document that says: `name` at `version` contains `packages`.

    `identity` tells two documents of one version apart; `time_s` is the document's time, seconds since 1970.
    """
    own = {
        "SPDXID": "SPDXRef-Release",
        "name": name,
        "versionInfo": version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": licence,
        "copyrightText": _UNKNOWN,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    }
    parts = [_package(package) for package in sorted(packages)]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name}-{version}",
        "documentNamespace": f"{_NAMESPACE}:{version}:{identity}",
        "creationInfo": {
            "created": datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: {name}"],
        },
        "packages": [own, *parts],
        "relationships": [
            _relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Release"),
            *(_relationship("SPDXRef-Release", "CONTAINS", part["SPDXID"]) for part in parts),
        ],
    }


def _package(package: Package) -> dict[str, Any]:
    url = f"pkg:deb/debian/{quote(package.name)}@{quote(package.version)}?arch={package.architecture}"
    return {
        "SPDXID": "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", "-", package.name),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "summary": package.summary,
        "sourceInfo": f"built from {package.source} {package.source_version}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": url,
            }
        ],
        **({"homepage": package.homepage} if package.homepage else {}),
    }


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
