import uuid

from django.db import models


class Event(models.Model):
    class Kind(models.IntegerChoices):
        IMPRESSION = 0
        CLICK = 1

    event_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    ad_id = models.BigIntegerField()
    kind = models.SmallIntegerField(choices=Kind.choices)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.TextField(null=True)

    class Meta:
        db_table = "events"
