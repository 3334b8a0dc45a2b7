"""The gateways' doors. The secret in the path is all that tells a gateway from a stranger."""

from django.urls import path

from ussd.gateways import views

urlpatterns = [
    path("africastalking/<str:secret>/ussd", views.ussd),
    path("africastalking/<str:secret>/ussd-events", views.ussd_events),
    path("africastalking/<str:secret>/sms", views.incoming_sms),
    path("africastalking/<str:secret>/sms-reports", views.sms_report),
    path("africastalking/<str:secret>/sms-optouts", views.sms_opt_out),
]
