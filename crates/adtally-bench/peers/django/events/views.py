from django.conf import settings

if settings.EXPERT:
    from .views_expert import post_event
else:
    from .views_plain import post_event

__all__ = ["post_event"]
