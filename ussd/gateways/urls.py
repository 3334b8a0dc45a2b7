"""The gateways' doors. The secret in the path is all that tells a gateway from a stranger."""

from typing import Any

from django.urls import URLPattern, path

from ussd.gateways import africastalking, arkesel, generic, hubtel, infobip, nalo, views
from ussd.gateways.protocol import Gateway
from ussd.gateways.views import View


def _door(gateway: Gateway, where: str, view: View) -> URLPattern:
    kept: dict[str, Any] = {"gateway": gateway}
    return path(f"{gateway.name}/<str:secret>/{where}", view, kept)


urlpatterns = [
    _door(africastalking.gateway, "ussd", views.ussd),
    _door(africastalking.gateway, "ussd-events", views.ussd_events),
    _door(africastalking.gateway, "sms", views.incoming_sms),
    _door(africastalking.gateway, "sms-reports", views.sms_reports),
    _door(africastalking.gateway, "sms-optouts", views.sms_opt_out),
    _door(hubtel.gateway, "ussd", views.ussd),
    _door(infobip.gateway, "ussd/session/<str:session>/status", views.ussd_status),
    _door(infobip.gateway, "ussd/session/<str:session>/<str:step>", views.ussd),
    _door(infobip.gateway, "sms", views.incoming_sms),
    _door(infobip.gateway, "sms-reports", views.sms_reports),
    _door(nalo.gateway, "ussd", views.ussd),
    _door(arkesel.gateway, "ussd", views.ussd),
    _door(generic.gateway, "ussd", views.ussd),
]
