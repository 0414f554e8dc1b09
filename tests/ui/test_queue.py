"""One at a time, first come first served, and whoever waits may leave."""

from __future__ import annotations

import threading

import pytest

from glimpse_core.ui.queue import Queue


def test_served_in_the_order_of_arrival() -> None:
    queue, served, running = Queue(), [], []
    arrived = [threading.Event() for _ in range(5)]

    def visit(number: int) -> None:
        with queue.ticket() as ticket:
            arrived[number].set()
            while ticket.ahead(5):
                pass
            running.append(number)
            assert len(running) == 1
            served.append(number)
            running.pop()

    with queue.ticket() as first:
        assert first.ahead() == 0
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=visit, args=(number,)))
            threads[-1].start()
            assert arrived[number].wait(10)
        assert len(queue) == 6 and served == []
    for thread in threads:
        thread.join(10)
    assert served == [0, 1, 2, 3, 4]
    assert len(queue) == 0


def test_whoever_leaves_makes_room() -> None:
    queue = Queue()
    with queue.ticket(), queue.ticket() as second:
        with pytest.raises(KeyError), queue.ticket() as third:
            assert third.ahead() == 2
            raise KeyError
        with queue.ticket() as fourth:
            assert (second.ahead(), fourth.ahead(0.01)) == (1, 2)
    assert len(queue) == 0
