"""Images of one program each, written without a container engine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path


def write_image(
    archive: Path, name: str, program: Path, arguments: Sequence[str] = (), user: int = 0
) -> Path:
    """Write an image of one program without libraries, as `docker save` does; return the archive.

    Parameters
    ----------
    archive : Path
        The file.
    name : str
        Name and tag of the image.
    program : Path
        Linked statically; it is below ``/`` under its own name.
    arguments : sequence of str
        What it is given.
    user : int
        Who runs it.
    """
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": [f"/{program.name}", *arguments],
                "User": str(user),
                "WorkingDir": "/",
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"],
            },
        }
    ).encode()
    names = f"{hashlib.sha256(configuration).hexdigest()}.json", "layer.tar"
    manifest = [{"Config": names[0], "RepoTags": [name], "Layers": [names[1]]}]
    archive.write_bytes(
        _tar(
            {
                "manifest.json": (json.dumps(manifest).encode(), 0o644),
                names[0]: (configuration, 0o644),
                names[1]: (layer, 0o644),
            }
        )
    )
    return archive


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    """Return an archive of files, each with its content and its mode."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
