"""Daraja's doors. No path may hold a word that Daraja bans from addresses."""

from django.urls import path

from lending.payments import views

urlpatterns = [
    path("<str:secret>/c2b/validation", views.validate_payment),
    path("<str:secret>/c2b/confirmation", views.confirm_payment),
    path("<str:secret>/stk/<str:token>", views.stk_callback),
    path("<str:secret>/b2c/<str:token>/result", views.b2c_result),
    path("<str:secret>/b2c/<str:token>/timeout", views.b2c_timeout),
    path("<str:secret>/status/<str:token>/result", views.status_result),
]
