"""The page and the keys behind it; mounted only where settings.PHONE_SIMULATOR says so."""

from django.urls import path

from ussd.phone import views

app_name = "phone"
urlpatterns = [
    path("", views.page, name="page"),
    path("api/wire", views.wire, name="wire"),
    path("api/<str:msisdn>", views.state, name="state"),
    path("api/<str:msisdn>/on", views.switch_on),
    path("api/<str:msisdn>/dial", views.dial),
    path("api/<str:msisdn>/input", views.answer),
    path("api/<str:msisdn>/hangup", views.hang_up),
    path("api/<str:msisdn>/prompts/<str:prompt_id>", views.prompt),
    path("api/<str:msisdn>/sms", views.sms),
    path("api/<str:msisdn>/paybill", views.paybill),
    path("api/<str:msisdn>/faults", views.faults),
]
