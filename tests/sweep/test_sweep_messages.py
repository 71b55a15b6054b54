"""Messages of a sweep, as its workers take them."""

import os
import signal
import socket
import sys
import threading

import pytest

from specflow.sweep.pool.message_link import MessageLink
from specflow.sweep.pool.ray_worker import _Host
from specflow.sweep.pool.sweep_messages import SweepMessages


@pytest.fixture
def interrupts():
    """Ctrl-C raises, also where tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_the_answer_to_a_trial_that_a_signal_ended_is_no_answer_to_the_next():
    """The second of two signals ends a trial at once, while it awaits an answer."""
    link, sweep = map(MessageLink, socket.socketpair())
    messages = SweepMessages(link)

    def supervise():
        first = sweep.receive()
        os.kill(os.getpid(), signal.SIGINT)
        second = sweep.receive()
        messages.put({"prune": True, "question": first["question"]})
        messages.put({"number": 7})
        messages.put({"prune": False, "question": second["question"]})

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    with pytest.raises(KeyboardInterrupt):
        messages.is_pruned(3, 40, {"loss": 1.0})
    assert not messages.is_pruned(3, 40, {"loss": 1.0})
    assert messages.trials.get_nowait() == {"number": 7}
    supervisor.join()
    for end in (link, sweep):
        end.close()


def test_messages_that_ray_calls_in_another_order_reach_the_worker_in_theirs(tmp_path):
    echo = (
        "import socket, sys\n"
        "link = socket.socket(fileno=int(sys.argv[1]))\n"
        "while part := link.recv(4096): link.sendall(part)"
    )
    host = _Host(str(tmp_path), str(tmp_path))
    cwd = os.getcwd()
    host.start((sys.executable, "-c", echo), {})
    os.chdir(cwd)
    for index in (2, 0, 1):
        host.send(index, {"index": index})
    assert [host.receive()["index"] for _ in range(3)] == [0, 1, 2]
    host.close()
