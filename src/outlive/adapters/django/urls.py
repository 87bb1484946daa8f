"""The whole API and page: `path("live/", include("outlive.adapters.django.urls"))`."""

from . import make_urls

urlpatterns = make_urls()
