"""Whether a path lies on a network file system, where SQLite's locks cannot be relied on."""

from __future__ import annotations

import re
from pathlib import Path

NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.juicefs", "fuse.s3fs",
    "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3",
    "smbfs", "virtiofs",
}  # fmt: skip
"""File systems that another machine may serve, by the names of /proc/mounts."""

MOUNTS = Path("/proc/mounts")


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of network file system that a path lies on, such as "nfs4".

    None when it lies on none, or when the system does not tell: only Linux does.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    resolved = path.resolve()
    best: tuple[int, str] = (-1, "")
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place))
        if resolved.is_relative_to(mounted) and len(mounted.parts) >= best[0]:  # a later mount lies on top
            best = (len(mounted.parts), kind)
    return best[1] if best[1] in NETWORK else None
