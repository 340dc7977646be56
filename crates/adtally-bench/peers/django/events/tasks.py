from django.conf import settings

if settings.EXPERT:
    from .tasks_expert import store_event
else:
    from .tasks_plain import store_event

__all__ = ["store_event"]
