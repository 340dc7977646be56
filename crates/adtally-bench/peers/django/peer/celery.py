import os

from celery import Celery
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "peer.settings")

from django.conf import settings  # noqa: E402  (needs the variable above)

QUEUE = os.environ.get("PEER_QUEUE", "peer_events")

app = Celery("peer")
app.conf.update(
    broker_url=os.environ["AMQP_URL"],
    # Both variants answer 202 only once the broker has the task on disk.
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    # A quorum queue, so that a confirm waits for an fsync, as it does in the product.
    task_queues=[
        Queue(QUEUE, Exchange(""), QUEUE, queue_arguments={"x-queue-type": "quorum"})
    ],
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
)

if settings.EXPERT:
    from . import expert

    expert.tune(app)

# Unset, Celery closes Django's connection around every task.
if "PEER_DB_REUSE" in os.environ:
    app.conf.CELERY_DB_REUSE_MAX = int(os.environ["PEER_DB_REUSE"])

app.autodiscover_tasks()
