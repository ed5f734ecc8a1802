"""Run a command with a cluster of its own: ``python -m tools.cluster.machines.within COMMAND``.

Its node has our images. KUBECONFIG names the cluster, which ends with the command.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from perennial.errors import OutsideError
from tools.cluster import programs
from tools.cluster.machines.cluster import machines
from tools.cluster.machines.local import add_images, add_volume


def main() -> None:
    """Start a cluster, run the command, and end with its status."""
    try:
        # On a disk: what pods write is more than memory should hold.
        with (
            tempfile.TemporaryDirectory(dir=programs.cache()) as folder,
            machines(Path(folder)) as live,
        ):
            add_images(live.node, Path(folder))
            add_volume(live, "snapshots")
            environment = os.environ | {"KUBECONFIG": str(live.cluster.kubeconfig)}
            done = subprocess.run(sys.argv[1:], env=environment, check=False)
    except OutsideError as error:
        sys.exit(str(error))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
