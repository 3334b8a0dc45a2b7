"""Where the doors are."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from config import health

urlpatterns = [
    path("admin/reports/", include("lending.admin.reports")),
    path("admin/", admin.site.urls),
    path("gateways/daraja/", include("lending.payments.urls")),
    path("gateways/", include("ussd.gateways.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
]

if settings.PHONE_SIMULATOR:
    urlpatterns.append(path("phone/", include("ussd.phone.urls")))
