from django.urls import path

from events.views import post_event

urlpatterns = [path("v1/events", post_event)]
