"""tagflow from a warm process: real processes, without the third of a second in which each would import the same.

One process a test run imports all of tagflow and listens at a socket. Whoever connects hands over a command line, a
directory, an environment and standard streams; a child is forked that is the command, and its exit status comes back.
:func:`folder` holds a program ``tagflow`` that does so. Tests of the start itself (imports, closed streams, terminals,
signals) run ``python -m tagflow`` instead.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import marshal
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

_ROOT = Path(__file__).parents[1]
# The program of a shell: it hands its streams over and ends as the command ends. Nothing but what is built in is
# imported, for its own start is all that it costs.
_PROGRAM = """\
#!{python} -IS
import os, sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from array import array
from marshal import dumps
order = dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
server = socket(AF_UNIX, SOCK_STREAM)
server.connect({address!r})
server.sendmsg([len(order).to_bytes(4, "big")], [(SOL_SOCKET, SCM_RIGHTS, array("i", [0, 1, 2]))])
server.sendall(order)
said = b""
while len(said) < 4:
    said += server.recv(4 - len(said)) or sys.exit("the warm process has ended")
status = int.from_bytes(said, "big", signed=True)
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@cache
def folder() -> Path:
    """A folder with a program ``tagflow`` for the PATH. It is gone when this process ends, and the warm one with it."""
    made = Path(tempfile.mkdtemp(prefix="tagflow-warm-"))
    address = str(made / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(listener.fileno())],
            stdin=subprocess.PIPE,
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C is for who runs the tests
        )
    atexit.register(_stop, process, made)
    program = made / "tagflow"
    program.write_text(_PROGRAM.format(python=sys.executable, address=address))
    program.chmod(0o755)
    return made


def path() -> str:
    """The PATH of somebody who has installed tagflow: it, its Python, and all other programs."""
    return f"{folder()}:{Path(sys.executable).parent}:{os.environ['PATH']}"


def _stop(process: subprocess.Popen[bytes], made: Path) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
    shutil.rmtree(made, ignore_errors=True)


# --- in the warm process ---------------------------------------------------------------------------------------------


def main() -> None:
    """Import all of tagflow, then run what is asked for until standard input ends."""
    warm_up()
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    running: dict[socket.socket, int] = {}
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        while True:
            waited: list[Any] = [0, woken, listener, *running]
            ready, _, _ = select.select(waited, [], [])
            if 0 in ready:
                break
            if woken in ready:
                woken.recv(1 << 10)
                _reap(running)
            for asked in [it for it in ready if it in running]:
                os.kill(running[asked], signal.SIGKILL)  # who asked has gone
            if listener in ready:
                asked, _ = listener.accept()
                running[asked] = _fork(asked, [listener, woken, wake, *running])
    for pid in running.values():
        os.kill(pid, signal.SIGKILL)


def warm_up() -> None:
    """Import all of tagflow, as something that stays and is shared."""
    import tagflow

    for module in pkgutil.walk_packages(tagflow.__path__, "tagflow.", onerror=lambda _name: None):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def be_tagflow(arguments: Sequence[str], directory: str, environ: Mapping[str, str]) -> NoReturn:
    """Be the command, from here to its end, in a process that was forked and has the standard streams it is to have."""
    from tagflow.cli.main import main as tagflow

    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    # Whether they are a terminal, and where in a file they stand, is another thing than before the fork.
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.argv = ["tagflow", *arguments]
    status: Any = 0
    try:
        tagflow()
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:  # noqa: BLE001 - a child never returns into the loop
        traceback.print_exc()
        status = 1
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)  # as tagflow ends itself where requests still wait; taking the warm process apart takes time


def _fork(asked: socket.socket, others: Sequence[socket.socket]) -> int:
    size, streams, _, _ = socket.recv_fds(asked, 4, 3)
    order = b""
    while len(order) < int.from_bytes(size):
        order += asked.recv(1 << 20)
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for each in (asked, *others):
            each.close()
    for stream in streams:
        os.close(stream)
    if pid == 0:
        be_tagflow(*marshal.loads(order))
    return pid


def _reap(running: dict[socket.socket, int]) -> None:
    for asked, pid in list(running.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del running[asked]
            with asked, suppress(OSError):
                asked.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


if __name__ == "__main__":
    main()
