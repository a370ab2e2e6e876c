"""Give up root for a server that refuses to run as root, and still let it reach its files.

A clone often lies where no other user may look (/root, `mktemp -d`). For such a place, and only then, one capability
that allows passing through directories stays with the server. Standard library only.
"""

import ctypes
import os
import pwd
import struct
from pathlib import Path

from .embedded import EngineError

CAPABILITIES = {"CAP_DAC_READ_SEARCH": 2, "CAP_DAC_OVERRIDE": 1}
PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 28, 47, 2
# Without this bit access(2) ignores the capabilities of a user that is not root, and PostgreSQL asks access(2).
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPSET_VERSION_3 = 0x20080522

REFUSED = (
    "PostgreSQL refuses to run as root, and this container does not let another user reach its files. "
    "Run this as a user, move it to where others may look, or set DATABASE_URL."
)


def system_user(data: Path) -> pwd.struct_passwd | None:
    """Whom to run the server as: nobody else, unless this is root; then the owner of its data, or a system user."""
    if os.getuid() != 0:
        return None
    if data.exists() and (owner := data.stat().st_uid):
        return pwd.getpwuid(owner)
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EngineError("PostgreSQL refuses to run as root, and there is no user postgres or nobody. Run this as a user.")


def needed(user: pwd.struct_passwd | None, reach: list[Path]) -> int | None:
    """The capability without which that user can't get to every path of `reach`; None if all are open to it."""
    return None if user is None or can_reach(user, reach) else held_capability(reach)


def become(user: pwd.struct_passwd | None, capability: int | None) -> None:
    """Turn this process into that user for good, with that capability and no other."""
    if user is None:
        return
    if capability is not None:
        call("prctl", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    switch(user)
    if capability is not None:
        keep_only(capability)


def can_reach(user: pwd.struct_passwd, reach: list[Path]) -> bool:
    """Ask the kernel, as that user, in a child: modes, groups and access lists then all count."""
    if (child := os.fork()) == 0:
        try:
            switch(user)
            os._exit(0 if all(os.access(path, os.X_OK) for path in reach) else 1)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def switch(user: pwd.struct_passwd) -> None:
    os.chdir("/")
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def held_capability(reach: list[Path]) -> int:
    status = Path("/proc/self/status")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines()) if status.exists() else {}
    held = int(lines.get("CapEff", "0"), 16) & int(lines.get("CapBnd", "0"), 16)
    for number in CAPABILITIES.values():
        if held & 1 << number:
            return number
    raise EngineError(
        f"PostgreSQL refuses to run as root, and no other user can reach {reach[0]}. Run this as a user, "
        "move it to where others may look (chmod o+x on the directories above it), or set DATABASE_URL."
    )


def keep_only(capability: int) -> None:
    """Drop every other capability; make this one ambient, so that it survives exec."""
    bits = 1 << capability
    header = struct.pack("Ii", CAPSET_VERSION_3, 0)
    call("capset", header, struct.pack("6I", bits, bits, bits, 0, 0, 0))
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def call(function: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*args) != 0:
        raise EngineError(REFUSED)
