"""The reference project as a site of its own, which hears from Apache who the user is.

Told by the environment, beside what settings.py reads:
    REMOTE_MIDDLEWARE  the middleware that reads the user
    REMOTE_BACKEND     the backend that finds or makes the user
    REMOTE_FILES       where the files of the view `download` lie
"""
import os

from settings import *  # noqa: F403

ROOT_URLCONF = "remote_site"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "intranet.example.org"]
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
if "REMOTE_MIDDLEWARE" in os.environ:
    MIDDLEWARE.append(os.environ["REMOTE_MIDDLEWARE"])
AUTHENTICATION_BACKENDS = [os.environ.get("REMOTE_BACKEND", "django.contrib.auth.backends.ModelBackend")]
# As apache/examples/proxy.conf says.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
USE_X_FORWARDED_HOST = True
REMOTE_FILES = os.environ.get("REMOTE_FILES", "")
