"""The relay in front of JAX's coordination service; sockets act as JAX and service."""

import contextlib
import os
import socket
import threading

import pytest

from specflow.distributed.relay import relay


@pytest.fixture(params=["127.0.0.1", "::1"])
def service(request):
    """A listening service, and the address of the relay in front of it."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        server = socket.create_server((request.param, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    host = f"[{request.param}]" if ":" in request.param else request.param
    with server:
        server.settimeout(20)
        yield server, relay(f"{host}:{server.getsockname()[1]}", timeout_s=20)


def connected(service):
    """Both ends of a connection: JAX's and the service's."""
    server, address = service
    host, port = address.split(":")
    near = socket.create_connection((host, int(port)), timeout=20)
    far, _ = server.accept()
    far.settimeout(20)
    return near, far


def received(end, size):
    data = b""
    while len(data) < size:
        data += end.recv(1 << 20)
    return data


def test_bytes_are_forwarded_both_ways_on_many_connections(service):
    ends = [connected(service) for _ in range(20)]
    sent = [[os.urandom(1 << 18) for _ in pair] for pair in ends]
    threads = [
        threading.Thread(target=end.sendall, args=(data,))
        for pair, each in zip(ends, sent, strict=True)
        for end, data in zip(pair, each, strict=True)
    ]
    for thread in threads:
        thread.start()
    for (near, far), (up, down) in zip(ends, sent, strict=True):
        assert received(far, len(up)) == up
        assert received(near, len(down)) == down
    for thread in threads:
        thread.join(20)
    for near, far in ends:
        near.close()
        far.close()


def test_when_jax_disconnects_the_service_is_disconnected_too(
    service,
):
    former = set(threading.enumerate())
    near, far = connected(service)
    near.close()
    assert far.recv(1) == b""
    far.close()
    for thread in set(threading.enumerate()) - former:
        thread.join(20)
        assert not thread.is_alive()


def test_losing_the_service_does_not_close_the_connection_to_jax(service):
    """Whatever JAX sends: it would abort if the connection ended."""
    near, far = connected(service)
    far.sendall(b"last")
    far.close()
    assert received(near, 4) == b"last"
    near.settimeout(0.2)
    for _ in range(5):
        near.sendall(b"is it there?")
        with contextlib.suppress(TimeoutError):
            assert near.recv(1), "the connection has ended"
    near.close()


def test_the_relay_waits_for_a_service_that_listens_later(new_coordinator):
    address = new_coordinator()
    host, port = relay(address, timeout_s=20).split(":")
    with socket.create_connection((host, int(port)), timeout=20) as near:
        near.sendall(b"early")
        with socket.create_server(("127.0.0.1", int(address.split(":")[1]))) as server:
            server.settimeout(20)
            far, _ = server.accept()
            with far:
                assert received(far, 5) == b"early"
