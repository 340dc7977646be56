from celery import shared_task

from .models import Event


@shared_task(ignore_result=True)
def store_event(**fields):
    Event.objects.create(**fields)
