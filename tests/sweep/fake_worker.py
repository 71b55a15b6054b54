"""A worker that does what the overrides of a trial say, and computes nothing."""

import contextlib
import functools
import itertools
import os
import signal
import socket
import sys
import time

from specflow.sweep.pool.message_link import MessageLink


def run(link, trial):
    for action in trial["overrides"]:
        name, _, value = action.partition("=")
        if name == "once":
            file, _, action = value.partition(":")
            if os.path.exists(file):
                continue
            open(file, "x").close()
            name, _, value = action.partition("=")
        match name:
            case "die":
                os.kill(os.getpid(), int(value))
            case "exit":
                os._exit(int(value))
            case "report":
                report(link, trial, int(value))
                if link.receive() == {"prune": True, "question": int(value)}:
                    return outcome("pruned", {"step": int(value), "pruned": True})
            case "ask":
                link.send({"number": trial["number"], "asks": True})
                os.environ["AHEAD"] = str(link.receive()["number"])
            case "decline":
                if os.environ.get("SERVED") == value:
                    return {"decline": "other devices"}
            case "fail":
                return outcome("failed", None, error="bad luck", failure=value)
            case "stop":
                return {"stopped": True}
            case "wait":
                try:
                    time.sleep(float(value))
                except KeyboardInterrupt:
                    return {"stopped": True}
            case "catch":
                with contextlib.suppress(KeyboardInterrupt):
                    report(link, trial, int(value))
                    time.sleep(30)
            case "save":
                heard = []
                hear = functools.partial(
                    lambda heard, *one: heard.append(one[0]), heard
                )
                signal.signal(signal.SIGINT, hear)
                signal.signal(signal.SIGTERM, hear)
                for step in itertools.count(1):
                    report(link, trial, step)
                    link.receive()
                    if heard:
                        print("heard", *heard, flush=True)
                        return {"stopped": True}
            case "print":
                print(value, flush=True)
    os.environ["SERVED"] = "yes"
    cores = len(os.sched_getaffinity(0))
    result = {"pid": os.getpid(), "cores": cores, "pack": trial["pack"], "eval": {}}
    result["ahead"] = os.environ.get("AHEAD")
    return outcome("complete", result)


def report(link, trial, step):
    """Sends a report, whose question has the number of the step."""
    message = {"number": trial["number"], "question": step}
    link.send({**message, "report": {"step": step, "metrics": {"loss": 1.0}}})


def outcome(status, result, **fields):
    return {"outcome": {"status": status, "result": result, **fields}}


def main(descriptor):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    link = MessageLink(socket.socket(fileno=descriptor))
    if (late := os.environ.get("LATE")) == "never":
        link.receive()
        return
    if late:
        time.sleep(float(late))
        link.send({"ready": True})
    while (trial := link.receive()) is not None:
        link.send({"number": trial["number"], **run(link, trial)})


if __name__ == "__main__":
    main(int(sys.argv[1]))
