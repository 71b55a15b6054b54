"""Imports what specflow needs, then forks a process for each program it is sent.

`python tests/preloading_server.py DESCRIPTOR`: of a socket, for `tests/preloaded.py`.
"""

import array
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import types
import warnings

MODULES = (
    "specflow.commands",
    "specflow.cli.main",
    "specflow.cli.train_commands",
    "specflow.compose.overrides",
    "specflow.compose.check.validate",
    "specflow.loop",
    "tensorboardX",
)


def receive(connection):
    """The next program and its streams; None at the end of the connection."""
    space = socket.CMSG_SPACE(3 * array.array("i").itemsize)
    size, rights, *_ = connection.recvmsg(8, space)
    if not size:
        return None
    streams = array.array("i")
    streams.frombytes(rights[0][2])
    length, message = int.from_bytes(size, "big"), b""
    while len(message) < length:
        message += connection.recv(length - len(message))
    return json.loads(message), list(streams)


def fork():
    with warnings.catch_warnings():
        # NumPy's threads for matrix products are no hindrance: they start anew.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def serve(connection):
    """Forks for each program; returns in the new processes alone, with the program."""
    while received := receive(connection):
        program, streams = received
        source, target = os.pipe()
        between = fork()
        if not between:
            process = fork()
            if process:
                os.write(target, process.to_bytes(8, "big"))
                os._exit(0)
            connection.close()
            for number, descriptor in enumerate(streams):
                os.dup2(descriptor, number)
            for descriptor in (source, target, *streams):
                os.close(descriptor)
            return program
        for descriptor in (target, *streams):
            os.close(descriptor)
        # Its end makes the new process a child of the tests.
        os.waitpid(between, 0)
        with open(source, "rb") as answer:
            connection.sendall(answer.read(8))
    os._exit(0)


def become(program):
    """Takes over the folder, the variables, the path and the streams of the program."""
    if program["new_session"]:
        os.setsid()
    # As Python opens them: documented under `sys.stderr`.
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = open(
        2, "w", buffering=1, errors="backslashreplace", closefd=False
    )
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["environment"])
    packages = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    arguments = program["arguments"]
    if arguments[0] not in ("-c", "-m"):
        arguments[0] = os.path.realpath(arguments[0])
    starts = {"-c": "", "-m": os.getcwd()}
    start = starts.get(arguments[0], os.path.dirname(arguments[0]))
    sys.path[:] = [start, *filter(None, packages), *sys.path[1:]]
    importlib.invalidate_caches()


def run(kind, *arguments):
    if kind == "-m":
        sys.argv[:] = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    sys.argv[:] = [kind, *arguments[kind == "-c" :]]
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    if kind == "-c":
        code = compile(arguments[0], "<string>", "exec")
    else:
        main.__file__ = kind
        with open(kind, encoding="utf-8") as file:
            code = compile(file.read(), kind, "exec")
    exec(code, main.__dict__)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    for module in MODULES:
        importlib.import_module(module)
    sys.path[:2] = [""]
    gc.collect()
    gc.freeze()
    program = serve(socket.socket(fileno=int(sys.argv[1])))
    become(program)
    run(*program["arguments"])
