# Importing pathlib would cost every start several milliseconds.
# ruff: noqa: PTH103, PTH116, PTH118, PTH120, PTH123, PTH208
"""Launcher: the small program between us and a confined process.

Run by path as `python -I -S launcher.py JSON`: it imports the standard library and nothing of this package.
It does what must happen in the child and in this order: show the paths to the account (root only), drop to
the account, supervise the process tree, and at the Landlock level shut files, network and calls. A failure of
its own ends it with status 125 and one line on stderr; it never goes on with less than it was asked for.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import stat
import struct
import sys
import tempfile
from typing import Any, NoReturn

FAILED = 125
"""Exit status of a launcher that could not set things up."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_NOSUID_NODEV, _MS_BIND, _MS_REC, _MS_SLAVE = 0x6, 0x1000, 0x4000, 0x80000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE = -100, 0x1000, 1
_MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_RDONLY, _MOUNT_ATTR_IDMAP, _AT_RECURSIVE = 4, 1, 0x100000, 0x8000
_IDS = 2**32 - 1

# Rights of `landlock(7)`: on files, and how many of them each version of the interface knows.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
_NET_RIGHTS, _SCOPES = 0b11, 0b11


def main() -> NoReturn:
    """Launch the process that the JSON in `argv[1]` describes; this process ends here."""
    config = json.loads(sys.argv[1])
    folder = ""
    try:
        outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        folder = _temporary(config["account"]) if config["confine"] is not None else ""
        if config["account"] is not None:
            _show(config["paths"], config["workspace"], tuple(config["account"]), folder)
        if config["supervise"]:
            _supervise(config, folder, outside)
        _drop(config["account"])
        _default_signals()
        _die_with(config["parent"], signal.SIGKILL)
        os.execvpe(config["argv"][0], config["argv"], os.environ)  # noqa: S606 - the program's whole purpose
    except (OSError, KeyError, ValueError) as error:
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(FAILED)


def _call(result: int, doing: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot {doing}: {os.strerror(code)}")
    return result


def _syscall(number: int, doing: str, *arguments: Any) -> int:
    return _call(_LIBC.syscall(number, *arguments), doing)


def _prctl(option: int, value: Any, doing: str, extra: Any = 0) -> None:
    _call(_LIBC.prctl(option, value, extra, 0, 0), doing)


# --- the account: what it sees, and becoming it ----------------------------------------------------------


def _show(paths: list[str], workspace: str, account: tuple[int, int], folder: str) -> None:
    """Give the account a view in which it reaches `paths` and owns `workspace`, in a mount namespace of ours.

    A folder on the way that the account may not enter (a home of mode 0700) is covered by an empty one, in
    which only the paths asked for appear: nobody's permissions change, and the rest of it stays out of reach.
    With a temporary `folder`, all but that and the workspace is read-only, because Landlock lets a process
    change modes and times of whatever its account owns.
    """
    hidden = {path: cover for path in paths if (cover := _closed_folder(path, account)) is not None}
    covers = sorted(set(hidden.values()))
    covers = [path for path in covers if not any(_inside(path, other) for other in covers if other != path)]
    owner = os.stat(workspace)
    owned = (owner.st_uid, owner.st_gid) == account
    if owned and not covers and not folder:
        return
    try:
        _call(_LIBC.unshare(_CLONE_NEWNS), "make a mount namespace")
        _mount("none", "/", _MS_REC | _MS_SLAVE)
    except OSError:
        if covers:
            raise
        _hand_over(workspace, owner.st_uid, account)
        return
    trees = {path: _tree(path, account, owner=path == workspace or _shut(path)) for path in hidden}
    if workspace not in trees and (folder or not owned):
        trees[workspace] = _tree(workspace, account, owner=not owned)
    if folder:
        trees[folder] = _tree(folder, account, owner=False)
        _seal()
    for cover in covers:
        _mount("tmpfs", cover, _MS_NOSUID_NODEV, kind="tmpfs", data="mode=755,size=1m")
    for path in sorted(trees):
        _place(trees[path], path, any(_inside(path, cover) for cover in covers))


def _seal() -> None:
    """Make every mount of our namespace read-only; detached ones are placed over it as they are."""
    close = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(len(close))
    _syscall(_MOUNT_SETATTR, "make mounts read-only", _AT_FDCWD, b"/", _AT_RECURSIVE, close, size)
    # The process still has to say there that the kernel may take it first when memory runs out.
    reopen = struct.pack("=QQQQ", 0, _MOUNT_ATTR_RDONLY, 0, 0)
    _syscall(_MOUNT_SETATTR, "keep /proc writable", _AT_FDCWD, b"/proc", 0, reopen, size)


def _closed_folder(path: str, account: tuple[int, int]) -> str | None:
    """The topmost folder on the way to `path`, itself included, that the account may not enter."""
    parts = path.strip("/").split("/")
    for count in range(1, len(parts) + 1):
        step = "/" + "/".join(parts[:count])
        found = os.stat(step)
        if not stat.S_ISDIR(found.st_mode):
            return None
        bits = 6 if found.st_uid == account[0] else 3 if found.st_gid == account[1] else 0
        wanted = 5 if count == len(parts) else 1
        if (found.st_mode >> bits) & wanted != wanted:
            return step
    return None


def _shut(path: str) -> bool:
    return os.stat(path).st_mode & 5 != 5


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _mount(source: str | None, target: str, flags: int, kind: str | None = None, data: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _call(_LIBC.mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]), f"mount on {target!r}")


def _tree(path: str, account: tuple[int, int], *, owner: bool) -> int:
    """A detached mount of `path`; with `owner`, what its owner owns belongs to the account in it."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    tree = _syscall(_OPEN_TREE, f"open {path!r}", _AT_FDCWD, os.fsencode(path), flags)
    found = os.stat(path)
    if owner:
        try:
            _map_owner(tree, (found.st_uid, found.st_gid), account)
        except OSError:
            # A file system without id-mapped mounts: its files have to change hands instead.
            _hand_over(path, found.st_uid, account)
    return tree


def _map_owner(tree: int, owner: tuple[int, int], account: tuple[int, int]) -> None:
    """Swap owner and account in a detached mount, as `mount_setattr(2)` describes for `MOUNT_ATTR_IDMAP`."""
    namespace = _user_namespace([_swap(mine, theirs) for mine, theirs in zip(owner, account, strict=True)])
    try:
        attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
        size = ctypes.c_size_t(len(attributes))
        _syscall(_MOUNT_SETATTR, "map ids", tree, b"", _AT_EMPTY_PATH, attributes, size)
    finally:
        os.close(namespace)


def _swap(on_disk: int, seen: int) -> str:
    """An id map in which two ids change places and every other one stays."""
    low, high = sorted((on_disk, seen))
    spans = [(0, 0, low), (low, high, 1), (low + 1, low + 1, high - low - 1), (high, low, 1)]
    if low == high:
        spans = [(0, 0, low + 1)]
    spans.append((high + 1, high + 1, _IDS - high - 1))
    return "".join(f"{inner} {outer} {count}\n" for inner, outer, count in spans if count > 0)


def _user_namespace(maps: list[str]) -> int:
    """A user namespace with these maps for users and groups, held by a descriptor only."""
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready_write, b"1" if _LIBC.unshare(_CLONE_NEWUSER) == 0 else b"0")
        signal.pause()
    try:
        if os.read(ready_read, 1) != b"1":
            raise OSError("cannot make a user namespace")
        for name, text in zip(("uid_map", "gid_map"), maps, strict=True):
            with open(f"/proc/{child}/{name}", "w") as file:
                file.write(text)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_read)
        os.close(ready_write)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _hand_over(path: str, owner: int, account: tuple[int, int]) -> None:
    """Give the account what `owner` owns below `path`: no link followed, no file with other names."""
    if stat.S_ISREG(os.stat(path).st_mode):
        return
    os.chown(path, *account)
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            entry = os.path.join(folder, name)
            found = os.lstat(entry)
            if found.st_uid == owner and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
                os.chown(entry, *account, follow_symlinks=False)


def _place(tree: int, path: str, make: bool) -> None:
    if make:
        folder = os.path.dirname(path)
        os.makedirs(folder, 0o755, exist_ok=True)
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.makedirs(path, 0o755, exist_ok=True)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    target = os.fsencode(path)
    _syscall(_MOVE_MOUNT, f"place {path!r}", tree, b"", _AT_FDCWD, target, _MOVE_MOUNT_F_EMPTY_PATH)
    os.close(tree)


def _drop(account: list[int] | None) -> None:
    if account is None:
        return
    os.setgroups([])
    os.setresgid(account[1], account[1], account[1])
    os.setresuid(account[0], account[0], account[0])


def _default_signals() -> None:
    """Undo what the interpreter ignores for itself, since ignoring survives `exec`."""
    for sign in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(sign, signal.SIG_DFL)


def _die_with(parent: int, sign: signal.Signals) -> None:
    """End when the parent does; set after the account, because changing it clears the wish."""
    _prctl(_PR_SET_PDEATHSIG, int(sign), "follow the parent")
    if os.getppid() != parent:
        os._exit(FAILED)


# --- supervising -----------------------------------------------------------------------------------------


def _supervise(config: dict[str, Any], folder: str, outside: int) -> NoReturn:
    """Start the process, wait for it, and end everything it left, however it was detached."""
    signals = {signal.SIGCHLD, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "adopt what the process leaves")
    _die_with(config["parent"], signal.SIGTERM)
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _enter(config, supervisor, folder)
        except (OSError, KeyError, ValueError) as error:
            print(f"launcher: {error}", file=sys.stderr, flush=True)
        os._exit(FAILED)
    _release_descriptors(outside)
    code: int | None = None
    while code is None and signal.sigwait(signals) == signal.SIGCHLD:
        code = _reap(child)
    _end_descendants()
    if folder:
        # Back where it was made: in a namespace of our own it is a mount, which cannot be removed.
        if config["account"] is not None:
            _LIBC.setns(outside, _CLONE_NEWNS)
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + signal.SIGKILL if code is None else code if code >= 0 else 128 - code)


def _temporary(account: list[int] | None) -> str:
    folder = tempfile.mkdtemp(prefix="openmanus-graph-")
    if account is not None:
        os.chown(folder, *account)
    return folder


def _release_descriptors(kept: int) -> None:
    """Hold nothing of the process open: whoever reads its pipes must see their end when it ends."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, kept)
    os.closerange(max(kept + 1, 3), 4096)


def _reap(child: int) -> int | None:
    """Collect whatever has ended; the exit code of `child` if it is among them."""
    code: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)


def _end_descendants() -> None:
    """Kill until none is left: what forks faster than one sweep is met by the next."""
    while True:
        for pid in _descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


# --- the process itself ----------------------------------------------------------------------------------


def _enter(config: dict[str, Any], supervisor: int, folder: str) -> NoReturn:
    """Become the process: account, limits, Landlock, filter, program."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _default_signals()
    confine = config["confine"]
    environment = dict(os.environ)
    if confine is not None:
        environment |= {"HOME": folder, "TMPDIR": folder}
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        _drop(config["account"])
        for number, value in confine["limits"]:
            resource.setrlimit(number, (value, value))
        # The kernel counts an account's tasks together, so the limit stands on top of what runs already.
        processes = _tasks_of(os.getuid()) + confine["processes"]
        _, most = resource.getrlimit(resource.RLIMIT_NPROC)
        processes = processes if most == resource.RLIM_INFINITY else min(processes, most)
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    _die_with(supervisor, signal.SIGKILL)
    os.chdir(config["workspace"])
    if confine is not None:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1, "forbid new privileges")
        workspace = [config["workspace"]]
        read_only = confine["read_only"]
        readable = [*confine["readable"], *(workspace if read_only else ())]
        _landlock(readable, [*(() if read_only else workspace), folder], confine["devices"])
        _filter(bytes.fromhex(confine["filter"]))
    os.execvpe(config["argv"][0], config["argv"], environment)  # noqa: S606 - the program's whole purpose


def _tasks_of(user: int) -> int:
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return count


def _landlock(readable: list[str], writable: list[str], devices: list[str]) -> None:
    """Allow these paths and nothing else, no TCP, no signal and no abstract socket to anything outside."""
    version = _syscall(_LANDLOCK_CREATE, "ask for Landlock", None, ctypes.c_size_t(0), 1)
    files = (1 << (13 + (version >= 2) + (version >= 3))) - 1 | (1 << 15 if version >= 5 else 0)
    fields = [files, _NET_RIGHTS] + ([_SCOPES] if version >= 6 else [])
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = _syscall(_LANDLOCK_CREATE, "make rules", attributes, ctypes.c_size_t(len(attributes)), 0)
    granted = {path: _EXECUTE | _READ_FILE | _READ_DIR for path in readable}
    granted |= dict.fromkeys(writable, files)
    granted |= dict.fromkeys(devices, _READ_FILE | _WRITE_FILE | 1 << 15)
    for path, rights in granted.items():
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _FILE_RIGHTS  # noqa: PLW2901 - a file has fewer rights than a folder
        rule = struct.pack("=Qi", rights & files, handle)
        _syscall(_LANDLOCK_ADD, f"allow {path!r}", rules, 1, rule, 0)
        os.close(handle)
    _syscall(_LANDLOCK_RESTRICT, "enforce rules", rules, 0)
    os.close(rules)


def _filter(program: bytes) -> None:
    """Load the filter; `struct sock_fprog` is a length and, aligned, a pointer."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    _prctl(_PR_SET_SECCOMP, 2, "load the filter", ctypes.byref(header))


if __name__ == "__main__":
    main()
