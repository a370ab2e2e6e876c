from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

import schedules.api
from jobs.api import api

schedules.api.join(api)

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
]
