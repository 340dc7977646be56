import os
import threading
from queue import Empty, SimpleQueue

from amqp.exceptions import MessageNacked

from .celery import QUEUE, app

# More than one process has request threads, so a round takes everyone who waits.
ROUND = 64


class Waiter:
    __slots__ = ("body", "headers", "lock", "error")

    def __init__(self, body, headers):
        self.body = body
        self.headers = headers
        self.error = None
        self.lock = threading.Lock()
        self.lock.acquire()


class Publisher:
    """One thread and one channel publish for all request threads, a round at a time.

    Celery's own way waits for the confirm of each message on a channel of its own. A round shares
    the waiting: the broker confirms many messages in one frame, and one thread reads it.
    """

    def __init__(self):
        self.waiters = SimpleQueue()
        self.connection = None
        self.start = threading.Lock()
        self.pid = None

    def publish(self, body, headers):
        """Returns once the broker has confirmed the message, raises when it has not."""
        # gunicorn forks, and a thread does not come along.
        if self.pid != os.getpid():
            with self.start:
                if self.pid != os.getpid():
                    threading.Thread(target=self.run, daemon=True).start()
                    self.pid = os.getpid()
        waiter = Waiter(body, headers)
        self.waiters.put(waiter)
        waiter.lock.acquire()
        if waiter.error is not None:
            raise waiter.error

    def run(self):
        while True:
            batch = [self.waiters.get()]
            try:
                while len(batch) < ROUND:
                    batch.append(self.waiters.get_nowait())
            except Empty:
                pass
            try:
                self.send(batch)
            except Exception as error:
                self.close()
                for waiter in batch:
                    waiter.error = error
            for waiter in batch:
                waiter.lock.release()

    def connect(self):
        self.connection = app.connection_for_write()
        self.channel = self.connection.channel()
        app.amqp.queues[QUEUE](self.channel).declare()
        self.channel.confirm_select()
        self.channel.events["basic_ack"].add(self.on_ack)
        self.channel.events["basic_nack"].add(self.on_nack)
        self.last = self.confirmed = 0
        self.open = set()

    def close(self):
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.collect()

    def on_ack(self, tag, multiple):
        if multiple:
            self.open = {t for t in self.open if t > tag}
        else:
            self.open.discard(tag)

    def on_nack(self, tag, multiple):
        raise MessageNacked

    def send(self, batch):
        if self.connection is None:
            self.connect()
        channel = self.channel
        for waiter in batch:
            message = channel.prepare_message(
                waiter.body,
                content_type="application/json",
                content_encoding="utf-8",
                headers=waiter.headers,
                properties={"delivery_mode": 2},
            )
            self.last += 1
            self.open.add(self.last)
            channel._basic_publish(message, exchange="", routing_key=QUEUE)
        while self.open:
            self.connection.drain_events(timeout=10)


publisher = Publisher()
