"""The page, and the admin in which the key is entered."""

from django.contrib import admin
from django.urls import path

from example import views

urlpatterns = [
    path("", views.users, name="users"),
    path("admin/", admin.site.urls),
]
