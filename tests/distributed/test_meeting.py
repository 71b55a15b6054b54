"""The rendezvous before JAX is initialized: threads act as processes, on loopback."""

import contextlib
import socket
import threading
import time

import pytest

from specflow.config.sections.mesh import COORDINATOR, COUNT, INDEX, ProcessesConfig
from specflow.diagnostics.errors import ConfigError, MachineError
from specflow.distributed.processes import Place, place, start_processes
from specflow.distributed.rendezvous import cancel_start, meet

EXPECTED = (
    " Expected every process to be started with the same coordinator and count. Look "
    "at the output of the other processes; mesh.processes.timeout is how long to wait."
)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in (COORDINATOR, COUNT, INDEX):
        monkeypatch.delenv(name, raising=False)


def met(coordinator, processes, *, timeout_s=20.0):
    """(index, count) of each process that arrives -> its error, or None."""
    results = {}

    def arrive(key):
        index, count = key
        try:
            links = meet(coordinator, index=index, count=count, timeout_s=timeout_s)
            expected = range(1, count) if index == 0 else [0]
            results[key] = None if sorted(links) == list(expected) else sorted(links)
            for link in links.values():
                link.close()
        except MachineError as error:
            results[key] = str(error)

    threads = [threading.Thread(target=arrive, args=(key,)) for key in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_processes_meet_in_any_order(coordinator):
    processes = [(2, 3), (1, 3), (0, 3)]
    assert met(coordinator, processes) == dict.fromkeys(processes)


def test_a_process_that_never_arrives_is_named_in_all_others(coordinator):
    results = met(coordinator, [(0, 3), (2, 3)], timeout_s=0.5)
    absent = f"processes: process 1 did not arrive within 0.5 s.{EXPECTED}"
    assert results == {(0, 3): absent, (2, 3): absent}


def test_without_process_0_the_others_report_its_address(coordinator):
    results = met(coordinator, [(1, 2)], timeout_s=0.3)
    assert results[1, 2] == (
        f"processes: process 0 did not arrive at {coordinator} within 0.3 s.{EXPECTED}"
    )


def test_a_process_that_expects_another_count_is_named(coordinator):
    results = met(coordinator, [(0, 2), (1, 4)])
    differs = f"processes: process 1 expects 4 processes, and process 0 2.{EXPECTED}"
    assert results == {(0, 2): differs, (1, 4): differs}


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_fails_before_the_rendezvous_is_named_in_all(index, coordinator):
    def fail():
        cancel_start(
            coordinator,
            index=index,
            count=3,
            why=f"process {index} failed: seed: got -1.",
            status=2,
        )

    failing = threading.Thread(target=fail)
    failing.start()
    others = [(other, 3) for other in range(3) if other != index]
    results = met(coordinator, others)
    failing.join(20)
    assert not failing.is_alive()
    expected = (
        f"processes: process {index} failed: seed: got -1. Look at its own output."
    )
    assert results == dict.fromkeys(others, expected)


def connected(coordinator, sent):
    """A foreign connection to process 0, once that listens."""
    host, port = coordinator.split(":")
    until = time.monotonic() + 20
    while True:
        try:
            stranger = socket.create_connection((host, int(port)), timeout=20)
            break
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.01)
    with contextlib.suppress(OSError):  # It may be closed before all is sent.
        stranger.sendall(sent)
    return stranger


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b"x" * (1 << 20), id="long"),
        pytest.param(b"[" * 60_000 + b"\n", id="nested"),
        pytest.param(b"\xff\x00\n", id="no-text"),
        pytest.param(b"{}\n", id="empty"),
        pytest.param(b'{"specflow": 1, "index": [1], "count": 2}\n', id="no-number"),
        pytest.param(b'{"index": 1, "count": 9}\n', id="another-program"),
        pytest.param(b'{"specflow": 1, "index": 1, "cou', id="half-a-line"),
    ],
)
def test_foreign_connections_do_not_block_the_rendezvous(sent, coordinator):
    results = {}
    first = threading.Thread(target=lambda: results.update(met(coordinator, [(0, 2)])))
    first.start()
    with connected(coordinator, sent), connected(coordinator, sent):
        results |= met(coordinator, [(1, 2)])
        first.join(20)
    assert results == {(0, 2): None, (1, 2): None}


def test_a_failure_with_a_long_message_is_truncated(coordinator):
    failing = threading.Thread(
        target=cancel_start,
        args=(coordinator,),
        kwargs={"index": 1, "count": 2, "why": "\N{SNOWMAN}" * 100_000, "status": 2},
    )
    failing.start()
    results = met(coordinator, [(0, 2)])
    failing.join(20)
    assert results[0, 2].startswith("processes: \N{SNOWMAN}\N{SNOWMAN}")


def test_one_config_serves_all_processes(monkeypatch):
    config = ProcessesConfig(coordinator="node1:4000", count=3, timeout=9)
    monkeypatch.setenv(INDEX, "2")
    assert place(config) == Place("node1:4000", 3, 2, 9.0)


def test_the_environment_of_launch_overrides_the_config(monkeypatch):
    config = ProcessesConfig(coordinator="node1:4000", count=3, index=2)
    monkeypatch.setenv(COORDINATOR, "127.0.0.1:5000")
    monkeypatch.setenv(COUNT, "2")
    monkeypatch.setenv(INDEX, "1")
    assert place(config) == Place("127.0.0.1:5000", 2, 1, 300.0)


def test_a_config_can_set_the_time_out_alone():
    assert place(ProcessesConfig(timeout=9)) is None


@pytest.mark.parametrize(
    ("given", "absent", "expected"),
    [
        ({"count": 2}, "coordinator", "host:port of process 0"),
        ({"coordinator": "a:1"}, "count", "the number of processes"),
    ],
)
def test_a_coordinator_needs_a_count_and_a_count_a_coordinator(given, absent, expected):
    with pytest.raises(ConfigError) as caught:
        ProcessesConfig(**given)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.where == f"ProcessesConfig.{absent}"
    assert diagnostic.expected.startswith(expected)


def test_one_process_needs_no_rendezvous():
    assert place(None) is None
    assert start_processes(None, pretended=4) == 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            ProcessesConfig(coordinator="a:1", count=2),
            f"mesh.processes.index: is null, and {INDEX} is not set. "
            "Expected 0 to 1, different in each process.",
        ),
        (
            ProcessesConfig(coordinator="a:1", count=2, index=2),
            "mesh.processes.index: got 2. Expected 0 to 1, different in each process.",
        ),
    ],
)
def test_an_index_is_required_and_within_the_count(config, message):
    with pytest.raises(ConfigError) as caught:
        place(config)
    assert str(caught.value) == message


def test_pretended_devices_must_divide_over_the_processes():
    config = ProcessesConfig(coordinator="a:1", count=2, index=0)
    with pytest.raises(ConfigError) as caught:
        start_processes(config, pretended=5)
    assert str(caught.value) == (
        "mesh.pretend_devices: got 5, which does not divide evenly over 2 processes. "
        "Expected a multiple of 2, such as 4."
    )
