"""The list of what a release is made of."""

from __future__ import annotations

from argosy.formats import spdx
from argosy.formats.debcontrol import Package

PACKAGES = (
    Package("libstdc++6", "14.2.0-19", "amd64", "gcc-14", "14.2.0-19", summary="GNU Standard C++ Library"),
    Package("bash", "5.2.37-2+b5", "amd64", "bash", "5.2.37-2", homepage="https://example.org"),
)


def test_a_document_has_what_spdx_requires() -> None:
    document = spdx.document(
        PACKAGES, name="argosy", version="4891.0.0", licence="Apache-2.0", time_s=1795219200, identity="ab"
    )
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["dataLicense"] == "CC0-1.0"
    assert document["creationInfo"]["created"] == "2026-11-21T00:00:00Z"
    own, bash, libstdcxx = document["packages"]
    assert (own["name"], own["versionInfo"], own["licenseDeclared"]) == ("argosy", "4891.0.0", "Apache-2.0")
    assert bash["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64"
    assert libstdcxx["SPDXID"] == "SPDXRef-Package-libstdc--6"
    ids = {package["SPDXID"] for package in document["packages"]} | {"SPDXRef-DOCUMENT"}
    assert len(ids) == len(document["packages"]) + 1
    for relationship in document["relationships"]:
        assert {relationship["spdxElementId"], relationship["relatedSpdxElement"]} <= ids
