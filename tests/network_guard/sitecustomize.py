"""Keeps a Python process, and every one that it starts, from any network but loopback.

Python imports a module of this name at its start. The tests put this directory in front of PYTHONPATH for the tool and
the fault server, and the guard hands itself on: to verifier workers as well, whose environment is built from nothing.
An attempt is refused by an exception and noted in the file that `NETWORK_GUARD_LOG` names, so that the test fails whose
processes catch the exception.
"""

import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

LOG_VARIABLE = "NETWORK_GUARD_LOG"

_ADDRESSED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"})
_NAMED = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})


class NetworkRefusedError(RuntimeError):
    """A process of the tests turned to something that is not loopback."""


def guarded_path(rest: str) -> str:
    """The PYTHONPATH that brings the guard in front of `rest`."""
    return os.pathsep.join([str(Path(__file__).parent), *(part for part in [rest] if part)])


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit one event of the interpreter; raises NetworkRefusedError where it goes beyond loopback.

    A name below `.invalid` does not exist, as every resolver has to say, and none is asked.
    """
    if event == "subprocess.Popen":
        _hand_on(arguments[3])
    elif event in _ADDRESSED:
        address = arguments[1]
        if isinstance(address, tuple) and not is_loopback(address[0]):
            _refused(event, address[0])
    elif event in _NAMED and arguments[0] is not None and not is_loopback(arguments[0]):
        if _text(arguments[0]).endswith(".invalid"):
            raise _no_such_name()
        _refused(event, arguments[0])


def is_loopback(host: str | bytes | bytearray) -> bool:
    """Whether the address, or the name, stands for this machine alone."""
    text = _text(host)
    try:
        return ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return text == "localhost"


def _text(host: str | bytes | bytearray) -> str:
    return host if isinstance(host, str) else host.decode("ascii", "replace")


def _no_such_name() -> OSError:
    import socket  # noqa: PLC0415 - not at the start of every process

    return socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _hand_on(environment: object) -> None:
    """Put the guard into the environment of a process about to be started; None inherits it anyway."""
    if not isinstance(environment, dict) or str(Path(__file__).parent) in environment.get("PYTHONPATH", ""):
        return
    environment["PYTHONPATH"] = guarded_path(environment.get("PYTHONPATH", ""))
    if LOG_VARIABLE in os.environ:
        environment[LOG_VARIABLE] = os.environ[LOG_VARIABLE]


def _refused(event: str, host: object) -> None:
    line = f"{event} {host!r} in {' '.join(map(str, sys.orig_argv))[:200]!r}\n"
    if log := os.environ.get(LOG_VARIABLE):
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, line.encode("utf-8", "backslashreplace"))
        os.close(descriptor)
    raise NetworkRefusedError(f"tests use loopback only: {line}")


if __name__ == "sitecustomize":
    sys.addaudithook(refuse)
