"""Hooks of a process under test; Python imports this file before anything else.

Instructions come from the environment, and nothing happens without them:

- `SOAK_LARGEST_FILE`: limit (bytes) of the files that the process writes, from the
  start or from `SOAK_AT` on.
- `SOAK_AT`: `module:attribute:n`, a function at whose n-th call the process signals
  itself or limits its files; an empty attribute means the end of the module's import.
- `SOAK_OPERATION`: number of the file operation below `SOAK_BELOW` at which it does.
- `SOAK_SIGNALS`: signals to send, such as `15` or `2,2`.
- `SOAK_MARK`: file that receives the time of the last signal (`time.monotonic`).
- `SOAK_INDEX`: index of the process that acts, one of several.
- `SOAK_TARGET`: `parent` if it signals the launcher, as a terminal would.
"""

import os
import sys

__name__ = "specflow.soak"  # A frame of these hooks is not one of the user's code.


def _is_chosen() -> bool:
    mine = os.environ.get("SPECFLOW_PROCESS_INDEX", "")
    return mine == os.environ.get("SOAK_INDEX", "")


def _act() -> None:
    if "SOAK_LARGEST_FILE" in os.environ:
        _limit_files(int(os.environ["SOAK_LARGEST_FILE"]))
    else:
        _send()


def _send() -> None:
    import signal
    import time

    to_parent = os.environ.get("SOAK_TARGET") == "parent"
    target = os.getppid() if to_parent else os.getpid()
    for position, number in enumerate(os.environ["SOAK_SIGNALS"].split(",")):
        if position:
            # Python runs the handler of the first one in the main thread meanwhile.
            time.sleep(0.2)
        descriptor = os.open(os.environ["SOAK_MARK"], os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, f"{time.monotonic():.6f}\n".encode())
        os.close(descriptor)
        os.kill(target, signal.Signals(int(number)))


def _limit_files(size: int) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    # Python 3.11 takes a write that the limit cut short for a whole one: modules that
    # are imported from here on would have bytecode without its end, for later runs too.
    sys.dont_write_bytecode = True


def _at_call(module_name: str, attribute: str, number: int) -> None:
    import functools
    from importlib.machinery import PathFinder

    def counting(function):
        calls = 0

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == number:
                _act()
            return function(*args, **kwargs)

        return wrapped

    def patch(module) -> None:
        if not attribute:
            _act()
            return
        *path, name = attribute.split(".")
        owner = functools.reduce(getattr, path, module)
        raw = vars(owner)[name]
        wrapped = counting(getattr(raw, "__func__", raw))
        is_method = isinstance(raw, classmethod | staticmethod)
        setattr(owner, name, type(raw)(wrapped) if is_method else wrapped)

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name != module_name:
                return None
            spec = PathFinder.find_spec(name, path)
            if spec is None or spec.loader is None:
                return None
            execute = spec.loader.exec_module

            def execute_and_patch(module):
                execute(module)
                patch(module)

            spec.loader.exec_module = execute_and_patch
            return spec

    sys.meta_path.insert(0, Finder)


_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}


def _at_operation(number: int, below: str) -> None:
    count = 0

    def audit(event, args):
        nonlocal count
        if event == "open":
            # Reading changes nothing.
            is_change = isinstance(args[0], str) and args[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            is_change = event in _CHANGES
        if is_change and str(args[0]).startswith(below):
            count += 1
            if count == number:
                _send()

    sys.addaudithook(audit)


if "SOAK_LARGEST_FILE" in os.environ and "SOAK_AT" not in os.environ:
    _limit_files(int(os.environ["SOAK_LARGEST_FILE"]))
if "SOAK_AT" in os.environ and _is_chosen():
    _module, _attribute, _number = os.environ["SOAK_AT"].split(":")
    _at_call(_module, _attribute, int(_number))
if "SOAK_OPERATION" in os.environ and _is_chosen():
    _at_operation(int(os.environ["SOAK_OPERATION"]), os.environ["SOAK_BELOW"])
