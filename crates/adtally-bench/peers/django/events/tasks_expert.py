from queue import Queue

from celery.utils.log import get_task_logger
from celery_batches import Batches, apply_batches_task
from django.db import IntegrityError, connection, transaction
from psycopg.errors import UniqueViolation

from peer.celery import app

COLUMNS = "event_id, ad_id, kind, occurred_at, received_at, ip, user_agent"
logger = get_task_logger(__name__)


class CopyBatch(Batches):
    """A batch that hands the task bare rows, and acks only what is stored, in one frame.

    The package's own flush wraps each message in an object with all headers, sends one ack each,
    and acks a batch that failed. Run it with `-P solo`: two batches at once must not overlap,
    because an ack of many covers everything delivered before.
    """

    abstract = True

    def Strategy(self, task, app, consumer):
        # Called at every connect. The broker delivers again what was not acked, so the buffer goes.
        # The package would also wait for the flush timer of the consumer that is gone.
        self._buffer = Queue()
        if self._tref is not None:
            self._tref.cancel()
            self._tref = None
        return super().Strategy(task, app, consumer)

    def flush(self, requests):
        def on_return(stored):
            if stored is None:
                # The timer flushes again after flush_interval.
                for request in requests:
                    self._buffer.put(request)
                return
            for request in requests:
                request.acknowledged = True
            last = requests[-1]
            last.message.ack_log_error(logger, last.connection_errors, multiple=True)

        rows = [request.message.payload[0] for request in requests]
        self._pool.apply_async(apply_batches_task, (self, (rows,), 0, None), callback=on_return)


def line(row):
    """A row in COPY's text form. Validation let no control character through."""
    event_id, ad_id, kind, occurred_at, received_at, ip, agent = row
    ip = r"\N" if ip is None else ip
    agent = r"\N" if agent is None else agent.replace("\\", r"\\")
    return f"{event_id}\t{ad_id}\t{kind}\t{occurred_at}\t{received_at}\t{ip}\t{agent}\n"


def copy(table, lines):
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} ({COLUMNS}) FROM STDIN") as out:
            out.write(lines)


def merge(lines):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE batch (LIKE events) ON COMMIT DROP")
        copy("batch", lines)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO events SELECT * FROM batch ON CONFLICT DO NOTHING")


@app.task(base=CopyBatch, name="events.store", flush_every=2000, flush_interval=0.5)
def store_event(rows):
    lines = "".join(map(line, rows))
    try:
        copy("events", lines)
    except (IntegrityError, UniqueViolation):
        # Some were stored before and delivered again. That is rare, so only then the slower way.
        merge(lines)
    return len(rows)
