"""Messages between a worker process and its sweep, seen from the worker."""

import queue
from collections.abc import Mapping
from typing import Any

from specflow.sweep.pool.message_link import MessageLink

__all__ = ["SweepMessages"]


class SweepMessages:
    """Sorts the messages of a sweep, and asks it whether a trial is pruned.

    A signal can end the wait for an answer, which then arrives when nothing awaits it.
    So questions have numbers, and trials that are sent meanwhile are kept apart.

    Args:
        link: to the sweep.
    """

    def __init__(self, link: MessageLink):
        self.trials: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        """Trials that were sent."""
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._link, self._question = link, 0

    def put(self, message: dict[str, Any]) -> None:
        """Takes a message that has arrived; another thread may call it."""
        (self._answers if "prune" in message else self.trials).put(message)

    def is_pruned(self, number: int, step: int, metrics: Mapping[str, float]) -> bool:
        """Reports an evaluation, and waits for the answer.

        Args:
            number: of the trial.
            step: training step of the evaluation.
            metrics: name -> value.

        Returns:
            Whether the sweep prunes the trial.
        """
        self._question += 1
        report = {"step": step, "metrics": dict(metrics)}
        message = {"number": number, "report": report, "question": self._question}
        self._link.send(message)
        while (answer := self._answers.get())["question"] != self._question:
            pass  # That of a trial which a signal has ended.
        return answer["prune"]
