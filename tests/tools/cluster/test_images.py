"""An image that is written without a container engine is one that container engines read."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tools.cluster.machines.images import write_image


@given(content=st.binary(max_size=2000), user=st.integers(0, 65534))
def test_an_image_has_its_program_its_command_and_the_digests_of_what_it_holds(
    content: bytes, user: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "server"
        program.write_bytes(content)

        archive = write_image(folder / "a.tar", "localhost/server:local", program, ["now"], user)

        _assert_is_image(archive, content, user)


def _assert_is_image(archive: Path, content: bytes, user: int) -> None:
    with tarfile.open(archive) as files:
        read = {member.name: files.extractfile(member) for member in files}
        parts = {name: file.read() for name, file in read.items() if file is not None}
        (manifest,) = json.loads(parts["manifest.json"])
        assert manifest["RepoTags"] == ["localhost/server:local"]
        configuration, layer = parts[manifest["Config"]], parts[manifest["Layers"][0]]
    assert manifest["Config"] == f"{hashlib.sha256(configuration).hexdigest()}.json"
    described = json.loads(configuration)
    assert described["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert described["config"]["Entrypoint"] == ["/server", "now"]
    assert described["config"]["User"] == str(user)
    inner = archive.with_name("layer.tar")
    inner.write_bytes(layer)
    with tarfile.open(inner) as files:
        (member,) = files.getmembers()
        unpacked = files.extractfile(member)
        assert unpacked is not None
        assert (member.name, member.mode, unpacked.read()) == ("server", 0o755, content)
