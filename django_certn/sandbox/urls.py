"""Certn's two addresses, the Partner tab, and the control calls."""

from django.urls import path
from django.views.generic import RedirectView

from django_certn.sandbox import api, control, partner

handler404 = api.not_found

urlpatterns = [
    path("token/", api.token),
    path("api/v1/users/", api.users),
    path("", RedirectView.as_view(url="/partner/")),
    path("partner/", partner.tab, name="tab"),
    path("partner/refresh/", partner.refresh, name="refresh"),
    path("partner/key/<slug:ticket>/", partner.key, name="key"),
    path("partner/faults/", partner.fault, name="fault"),
    path("partner/reset/", partner.reset, name="reset"),
    path("partner/style.css", partner.stylesheet, name="stylesheet"),
    path("__sandbox__/health", control.health),
    path("__sandbox__/keys", control.key),
    path("__sandbox__/faults", control.fault_list),
    path("__sandbox__/requests", control.request_list),
    path("__sandbox__/reset", control.reset),
]
