"""The addresses of Certn's two APIs, the pages, and the control calls."""

from django.urls import path
from django.views.generic import RedirectView

from django_certn.sandbox import api, centric, control, partner, portal

handler404 = api.not_found

urlpatterns = [
    path("token/", api.token),
    path("api/v1/users/", api.users),
    path("api/v1/hr/applicants/", api.applicants),
    path("api/v1/hr/applicants/<uuid:number>/", api.applicant),
    path("api/public/cases/", centric.cases),
    path("api/public/cases/<uuid:number>/", centric.case),
    path("api/public/groups/", centric.groups),
    path("", RedirectView.as_view(url="/partner/")),
    path("partner/", partner.tab, name="tab"),
    path("partner/refresh/", partner.refresh, name="refresh"),
    path("partner/key/<slug:ticket>/", partner.key, name="key"),
    path("partner/api-keys/", portal.tab, name="api-keys"),
    path("partner/api-keys/revoke/", portal.revoke, name="revoke"),
    path("partner/api-keys/<slug:ticket>/", portal.key, name="api-key"),
    path("partner/faults/", partner.fault, name="fault"),
    path("partner/reset/", partner.reset, name="reset"),
    path("partner/style.css", partner.stylesheet, name="stylesheet"),
    path("__sandbox__/health", control.health),
    path("__sandbox__/keys", control.key),
    path("__sandbox__/api-keys", control.api_key_list),
    path("__sandbox__/revoke-tokens", control.revoke_tokens),
    path("__sandbox__/faults", control.fault_list),
    path("__sandbox__/requests", control.request_list),
    path("__sandbox__/reset", control.reset),
]
