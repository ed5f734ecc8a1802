"""Stands in for `docker` in the tests of `make push`: signs in, and pushes as Buildx does.

Its image has one empty layer; target, build arguments and attestations are labels of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import httpx

_BASE_DIGEST = "sha256:" + "ab" * 32
_IMAGE = "application/vnd.oci.image"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--target")
    parser.add_argument("--build-arg", action="append")
    parser.add_argument("--sbom")
    parser.add_argument("--provenance")
    parser.add_argument("--push", action="store_true", required=True)
    parser.add_argument("--tag")
    parser.add_argument("--metadata-file", type=Path)
    parser.add_argument("context")
    return parser.parse_args(sys.argv[3:])


def _push_blob(registry: httpx.Client, name: str, content: bytes) -> dict[str, object]:
    place = registry.post(f"/v2/{name}/blobs/uploads/").raise_for_status().headers["Location"]
    registry.put(place, params={**httpx.URL(place).params, "digest": _digest(content)},
                 content=content).raise_for_status()  # fmt: skip
    return {"digest": _digest(content), "size": len(content)}


def _build() -> None:
    given = _arguments()
    assert (Path(given.context) / "Dockerfile").exists()
    host, _, path = given.tag.partition("/")
    name, _, tag = path.partition(":")
    attested = f"--sbom={given.sbom} --provenance={given.provenance}"
    labels = dict(each.split("=", 1) for each in given.build_arg)
    labels |= {"target": given.target, "attested": attested}
    configuration = json.dumps({"os": "linux", "config": {"Labels": labels}}).encode()
    account = json.loads(_account_file().read_text())
    with httpx.Client(base_url=f"http://{host}", auth=tuple(account[host])) as registry:
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{_IMAGE}.manifest.v1+json",
                "config": {
                    "mediaType": f"{_IMAGE}.config.v1+json",
                    **_push_blob(registry, name, configuration),
                },
                "layers": [
                    {
                        "mediaType": f"{_IMAGE}.layer.v1.tar",
                        **_push_blob(registry, name, bytes(1024)),
                    }
                ],
            }
        ).encode()
        registry.put(
            f"/v2/{name}/manifests/{tag}",
            content=manifest,
            headers={"Content-Type": f"{_IMAGE}.manifest.v1+json"},
        ).raise_for_status()
    given.metadata_file.write_text(json.dumps({"containerimage.digest": _digest(manifest)}))


def _account_file() -> Path:
    return Path(".data") / "docker-account.json"


def main() -> None:
    """Do what the arguments say."""
    if sys.argv[1] == "login":
        _account_file().parent.mkdir(exist_ok=True)
        account = (sys.argv[3], sys.stdin.read().strip())
        _account_file().write_text(json.dumps({sys.argv[-1]: account}))
    elif sys.argv[2:3] == ["imagetools"]:
        sys.stdout.write(f"{_BASE_DIGEST}\n")
    else:
        _build()


if __name__ == "__main__":
    main()
