"""The pages, and the admin in which the keys are entered."""

from django.contrib import admin
from django.urls import path

from example import views

urlpatterns = [
    path("", views.listing, {"name": "default"}, name="default"),
    path("centric/", views.listing, {"name": "centric"}, name="centric"),
    path("admin/", admin.site.urls),
]
