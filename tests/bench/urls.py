"""The product's addresses and the bare view: what a hop costs at the least on the same server."""

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.urls import urlpatterns as product
from ussd.models import Session

store = redis.Redis.from_url(settings.REDIS_URL)


def bare(request: HttpRequest) -> HttpResponse:
    """Make one round trip to Redis and read one row by its index."""
    store.get("bare")
    Session.objects.filter(gateway="africastalking", gateway_session=request.GET["session"]).first()
    return HttpResponse("CON bare", content_type="text/plain")


urlpatterns = [*product, path("bare", bare)]
