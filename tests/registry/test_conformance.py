"""The workflows of the distribution specification's conformance suite, request by request.

Pull, push, content discovery and content management, in the suite's order and with the status codes
that it expects; the comments name its contexts.
"""

import re

import pytest

from contract import oci
from contract.digests import sha256
from tests.registry.content import EMPTY, EMPTY_TYPE, Content, described, image, index, referrer
from tests.registry.wire import OCTETS, Wire, code, said

NOT_THERE = "sha256:" + "0" * 64
OCI_CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
    "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
}  # fmt: skip
"""The specification's table of codes."""


class TestPull:
    REPOSITORY = "shop/pull"

    @pytest.fixture(autouse=True)
    def pushed(self, wire: Wire) -> Content:
        content = image(b"a layer to pull", config=b'{"architecture":"amd64"}')
        wire.push(self.REPOSITORY, content, "tagtest0")
        return content

    def test_pull_blobs(self, wire: Wire, pushed: Content) -> None:
        assert said(wire.ask("GET", f"{self.REPOSITORY}/blobs/{NOT_THERE}")) == (404, "BLOB_UNKNOWN")
        assert wire.ask("HEAD", f"{self.REPOSITORY}/blobs/{NOT_THERE}").status_code == 404
        for digest, data in pushed.blobs.items():
            head = wire.ask("HEAD", f"{self.REPOSITORY}/blobs/{digest}")
            assert (head.status_code, head.headers["Docker-Content-Digest"]) == (200, digest)
            assert head.headers["Content-Length"] == str(len(data))
            assert wire.ask("GET", f"{self.REPOSITORY}/blobs/{digest}").content == data

    def test_pull_a_part_of_a_blob(self, wire: Wire) -> None:
        digest = sha256(b"a layer to pull")
        path = f"{self.REPOSITORY}/blobs/{digest}"
        part = wire.ask("GET", path, headers={"Range": "bytes=2-6"})
        assert (part.status_code, part.content) == (206, b"layer")
        assert part.headers["Content-Range"] == "bytes 2-6/15"
        assert wire.ask("GET", path, headers={"Range": "bytes=15-"}).status_code == 416

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_pull_manifests(self, wire: Wire, pushed: Content, method: str) -> None:
        for reference in ("nothere", NOT_THERE):
            missing = wire.ask(method, f"{self.REPOSITORY}/manifests/{reference}")
            assert missing.status_code == 404
        for reference in ("tagtest0", pushed.digest):
            answer = wire.ask(
                method, f"{self.REPOSITORY}/manifests/{reference}", headers={"Accept": oci.MANIFEST}
            )
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, oci.MANIFEST)
            assert answer.headers["Docker-Content-Digest"] == pushed.digest
            assert answer.content == (pushed.data if method == "GET" else b"")

    def test_a_manifest_of_a_type_that_is_not_accepted_is_not_sent(self, wire: Wire) -> None:
        path = f"{self.REPOSITORY}/manifests/tagtest0"
        answer = wire.ask("GET", path, headers={"Accept": oci.INDEX})
        assert said(answer) == (404, "MANIFEST_UNKNOWN")
        for accept in (f"{oci.INDEX}, {oci.MANIFEST};q=0.5", "*/*", "application/json", ""):
            assert wire.ask("GET", path, headers={"Accept": accept}).status_code == 200

    def test_error_codes(self, wire: Wire) -> None:
        """A manifest whose blobs are not there; the answer's code is one of the table."""
        answer = wire.ask(
            "PUT",
            f"{self.REPOSITORY}/manifests/bad",
            content=b"blablabla",
            headers={"Content-Type": oci.MANIFEST},
        )
        assert answer.status_code == 400
        assert code(answer) in OCI_CODES


class TestPush:
    REPOSITORY = "shop/push"
    BLOB = b"a blob of two chunks"
    FIRST, SECOND = BLOB[:3], BLOB[3:]

    def test_blob_upload_streamed(self, wire: Wire) -> None:
        answer = wire.ask("PATCH", wire.begin(self.REPOSITORY), content=b"streamed", headers=OCTETS)
        assert answer.status_code == 202
        done = wire.ask(
            "PUT", answer.headers["Location"], params={"digest": sha256(b"streamed")}, headers=OCTETS
        )
        assert done.status_code == 201
        assert wire.ask("GET", done.headers["Location"]).content == b"streamed"

    def test_blob_upload_monolithic(self, wire: Wire) -> None:
        data = b"monolithic, in one request"
        path = f"{self.REPOSITORY}/blobs/{sha256(data)}"
        assert wire.ask("GET", path).status_code == 404
        answer = wire.ask(
            "POST",
            f"{self.REPOSITORY}/blobs/uploads/",
            params={"digest": sha256(data)},
            content=data,
            headers=OCTETS,
        )
        assert answer.status_code == 201
        assert wire.ask("GET", answer.headers["Location"]).content == data
        data = b"monolithic, in two requests"
        answer = wire.ask("PUT", wire.begin(self.REPOSITORY), params={"digest": sha256(data)}, content=data)
        assert answer.status_code == 201
        assert wire.ask("GET", answer.headers["Location"]).content == data

    def test_out_of_order_chunk(self, wire: Wire) -> None:
        location = wire.begin(self.REPOSITORY)
        late = {"Content-Range": f"{len(self.FIRST)}-{len(self.BLOB) - 1}"} | OCTETS
        answer = wire.ask("PATCH", location, content=self.SECOND, headers=late)
        assert said(answer) == (416, "BLOB_UPLOAD_INVALID")

    def test_blob_upload_chunked(self, wire: Wire) -> None:
        location = wire.begin(self.REPOSITORY)
        first = {"Content-Range": f"0-{len(self.FIRST) - 1}"} | OCTETS
        answer = wire.ask("PATCH", location, content=self.FIRST, headers=first)
        assert (answer.status_code, answer.headers["Range"]) == (202, "0-2")
        again = wire.ask("PATCH", answer.headers["Location"], content=self.FIRST, headers=first)
        assert again.status_code == 416
        stands = wire.ask("GET", answer.headers["Location"])
        assert (stands.status_code, stands.headers["Range"]) == (204, "0-2")
        second = {"Content-Range": f"{len(self.FIRST)}-{len(self.BLOB) - 1}"} | OCTETS
        answer = wire.ask("PATCH", stands.headers["Location"], content=self.SECOND, headers=second)
        assert answer.status_code == 202
        done = wire.ask("PUT", answer.headers["Location"], params={"digest": sha256(self.BLOB)})
        assert done.status_code == 201
        assert wire.ask("GET", done.headers["Location"]).content == self.BLOB

    def test_the_last_chunk_may_come_with_the_end(self, wire: Wire) -> None:
        data = b"the end" + self.BLOB
        answer = wire.ask(
            "PATCH", wire.begin(self.REPOSITORY), content=data[:7], headers={"Content-Range": "0-6"}
        )
        done = wire.ask(
            "PUT",
            answer.headers["Location"],
            params={"digest": sha256(data)},
            content=data[7:],
            headers={"Content-Range": f"7-{len(data) - 1}"},
        )
        assert done.status_code == 201

    def test_cross_repository_mount(self, wire: Wire) -> None:
        digest = wire.push_blob(self.REPOSITORY, b"to be mounted")
        start = "lab/mounted/blobs/uploads/"
        lacking = wire.ask("POST", start, params={"mount": NOT_THERE, "from": self.REPOSITORY})
        assert lacking.status_code == 202
        assert "/blobs/uploads/" in lacking.headers["Location"]
        assert wire.ask("POST", start, params={"mount": digest}).status_code == 202
        answer = wire.ask("POST", start, params={"mount": digest, "from": self.REPOSITORY})
        assert (answer.status_code, answer.headers["Location"]) == (201, f"/v2/lab/mounted/blobs/{digest}")
        assert wire.ask("GET", answer.headers["Location"]).content == b"to be mounted"

    def test_manifest_upload(self, wire: Wire) -> None:
        assert wire.ask("GET", f"{self.REPOSITORY}/manifests/nothere").status_code == 404
        content = image(b"layer of a manifest")
        for number in range(4):
            wire.push(self.REPOSITORY, content, f"test{number}")
        answer = wire.put_manifest(self.REPOSITORY, content)
        assert (answer.status_code, answer.headers["Location"]) == (
            201,
            f"/v2/{self.REPOSITORY}/manifests/{content.digest}",
        )
        assert answer.headers["Docker-Content-Digest"] == content.digest
        assert wire.ask("GET", answer.headers["Location"]).content == content.data
        # A manifest without layers.
        wire.push(self.REPOSITORY, image(), "emptylayer")


class TestDiscovery:
    REPOSITORY = "shop/discovery"
    KIND_A, KIND_B = "application/vnd.nhl.peanut.butter.bagel", "application/vnd.nba.strawberry.jam.croissant"

    def test_tags(self, wire: Wire) -> None:
        for tag in ("test3", "test0", "test2", "test1", "Z", "0"):
            wire.push("shop/tags", image(b"tagged"), tag)
        path = "shop/tags/tags/list"
        whole = wire.ask("GET", path)
        assert whole.json() == {"name": "shop/tags", "tags": ["0", "Z", "test0", "test1", "test2", "test3"]}
        assert "Link" not in whole.headers
        found, where, pages = [], f"/v2/{path}?n=4", 0
        while where:
            answer = wire.ask("GET", where)
            found += answer.json()["tags"]
            link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
            where, pages = link[1] if link else "", pages + 1
        assert (found, pages) == (whole.json()["tags"], 2)
        assert wire.ask("GET", path, params={"n": "2", "last": "test1"}).json()["tags"] == ["test2", "test3"]
        assert wire.ask("GET", path, params={"n": "0"}).json()["tags"] == []
        assert wire.ask("GET", path, params={"n": "x"}).status_code == 400
        assert said(wire.ask("GET", "shop/nothere/tags/list")) == (404, "NAME_UNKNOWN")

    def test_referrers(self, wire: Wire) -> None:
        path = f"{self.REPOSITORY}/referrers"
        empty = wire.ask("GET", f"{path}/{NOT_THERE}")
        assert (empty.status_code, empty.headers["Content-Type"]) == (200, oci.INDEX)
        assert empty.json()["manifests"] == []

        subject, other = image(b"a subject"), image(b"a subject that is never pushed")
        early = referrer(subject, b"before", self.KIND_A, number="1")
        by_config = image(config=b'{"a": 1}', subject=subject.descriptor, annotations={"number": "2"})
        of_kind_b = referrer(subject, b"after", self.KIND_B, number="3")
        nested = index(subject=subject.descriptor, artifactType=self.KIND_B, annotations={"number": "4"})
        missing = referrer(other, b"of nothing", self.KIND_A)
        for content in (early, subject, by_config, of_kind_b, nested):  # one of them before its subject
            for data in content.blobs.values():
                wire.push_blob(self.REPOSITORY, data)
            answer = wire.put_manifest(self.REPOSITORY, content)
            assert answer.status_code == 201, answer.text
            expected = None if content is subject else subject.digest
            assert answer.headers.get("OCI-Subject") == expected
        wire.push(self.REPOSITORY, missing)

        found = wire.ask("GET", f"{path}/{subject.digest}")
        assert "OCI-Filters-Applied" not in found.headers
        listed = {each["annotations"]["number"]: each for each in found.json()["manifests"]}
        assert {number: each["digest"] for number, each in listed.items()} == {
            "1": early.digest,
            "2": by_config.digest,
            "3": of_kind_b.digest,
            "4": nested.digest,
        }
        assert listed["1"] == early.descriptor | {"artifactType": self.KIND_A, "annotations": {"number": "1"}}
        assert listed["2"]["artifactType"] == oci.CONFIG
        assert listed["4"]["mediaType"] == oci.INDEX

        filtered = wire.ask("GET", f"{path}/{subject.digest}", params={"artifactType": self.KIND_B})
        assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
        assert [each["digest"] for each in filtered.json()["manifests"]] == [of_kind_b.digest, nested.digest]
        of_missing = wire.ask("GET", f"{path}/{other.digest}").json()["manifests"]
        assert [each["digest"] for each in of_missing] == [missing.digest]

    def test_an_artifact_of_the_empty_config(self, wire: Wire) -> None:
        """The specification's guidance for artifacts: an empty config, and the kind beside it."""
        content = image(artifactType=self.KIND_A, config=EMPTY)
        assert described(EMPTY, EMPTY_TYPE)["digest"] == (
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        )
        wire.push(self.REPOSITORY, content, "artifact")


class TestManagement:
    REPOSITORY = "shop/management"

    def test_delete(self, wire: Wire) -> None:
        content = image(b"to be deleted", config=b'{"os":"linux"}')
        for tag in ("tagtest0", "tagtest1", "tagtest2"):
            wire.push(self.REPOSITORY, content, tag)
        keeps = image(b"stays")
        wire.push(self.REPOSITORY, keeps, "stays")

        def tags() -> list[str]:
            return list(wire.ask("GET", f"{self.REPOSITORY}/tags/list").json()["tags"])

        assert wire.ask("DELETE", f"{self.REPOSITORY}/manifests/tagtest0").status_code == 202
        assert wire.ask("DELETE", f"{self.REPOSITORY}/manifests/tagtest0").status_code == 404
        assert tags() == ["stays", "tagtest1", "tagtest2"]
        assert wire.ask("GET", f"{self.REPOSITORY}/manifests/{content.digest}").status_code == 200
        # A blob that a manifest names stays.
        layer = f"{self.REPOSITORY}/blobs/{sha256(b'to be deleted')}"
        assert said(wire.ask("DELETE", layer)) == (405, "DENIED")
        assert wire.ask("DELETE", f"{self.REPOSITORY}/manifests/{content.digest}").status_code == 202
        assert said(wire.ask("GET", f"{self.REPOSITORY}/manifests/{content.digest}")) == (
            404,
            "MANIFEST_UNKNOWN",
        )
        assert wire.ask("DELETE", f"{self.REPOSITORY}/manifests/{content.digest}").status_code == 404
        assert tags() == ["stays"]
        assert wire.ask("DELETE", layer).status_code == 202
        assert said(wire.ask("GET", layer)) == (404, "BLOB_UNKNOWN")
        assert said(wire.ask("DELETE", layer)) == (404, "BLOB_UNKNOWN")
        assert wire.ask("GET", f"{self.REPOSITORY}/manifests/stays").content == keeps.data
