import orjson
from kombu.serialization import register


def tune(app):
    # kombu's own codec calls a Python function for every object it meets.
    register("orjson", orjson.dumps, orjson.loads, "application/json", "utf-8")
    app.conf.update(
        task_serializer="orjson",
        accept_content=["orjson"],
        task_acks_late=True,
        # Four batches: one is being stored while the next ones arrive.
        worker_prefetch_multiplier=8000,
        worker_enable_remote_control=False,
    )
