import os
import time
import uuid
from datetime import datetime, timezone

import orjson
from django.http import HttpResponse

from peer.publisher import publisher

from .tasks import store_event
from .validation import Invalid, validate

ACCEPTED = b'{"accepted":1,"rejected":[]}'
# Without CommonMiddleware nobody else sets the length, and gunicorn would answer in chunks.
HEADERS = {"Content-Type": "application/json", "Content-Length": str(len(ACCEPTED))}


def uuid7():
    """Ordered by time, so that the index grows at its right end and a batch touches few pages."""
    raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def refuse(status, field):
    body = orjson.dumps({"accepted": 0, "rejected": [{"index": 0, "field": field}]})
    return HttpResponse(body, status=status, headers={**HEADERS, "Content-Length": str(len(body))})


def post_event(request):
    if request.method != "POST":
        return refuse(405, "method")
    try:
        event = validate(orjson.loads(request.body))
    except Invalid as error:
        return refuse(422, str(error))
    except ValueError:
        return refuse(422, "body")
    event_id = uuid7()
    row = (event_id, *event[:3], datetime.now(timezone.utc).isoformat(), *event[3:])
    # The two headers a Celery worker needs. The other seventeen cost more than the event.
    publisher.publish(
        orjson.dumps((row, {}, None)), {"task": store_event.name, "id": event_id}
    )
    return HttpResponse(ACCEPTED, status=202, headers=HEADERS)
