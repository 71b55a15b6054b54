"""Coordinators for the processes of a test."""

import socket

import pytest


@pytest.fixture(scope="session")
def new_coordinator():
    """`host:port` of a free port, a new one each time."""

    def new():
        with socket.create_server(("127.0.0.1", 0)) as server:
            return f"127.0.0.1:{server.getsockname()[1]}"

    return new


@pytest.fixture
def coordinator(new_coordinator):
    return new_coordinator()
