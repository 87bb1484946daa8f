"""Outlive on Django: runs of other processes below /live."""

from computing import compute
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

from outlive.adapters.django import PUBLIC

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], OUTLIVE={"ACCESS": PUBLIC})
urlpatterns = [path("live/", include("outlive.adapters.django.urls"))]
app = get_wsgi_application()
compute()
