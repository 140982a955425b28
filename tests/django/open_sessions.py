"""Sessions of the site that DJANGO_SETTINGS_MODULE names, right and wrong ones.

    open_sessions.py open NAME …   opens them for these users, and prints [what it is, Cookie header] of each
    open_sessions.py ask           reads headers, one a line, and prints whom Django itself knows by each
"""
import inspect
import json
import os
import sys
import time
from datetime import timedelta
from importlib import import_module
from unittest import mock

if not hasattr(inspect, "markcoroutinefunction"):  # Django 6 takes it from Python 3.12.
    from asgiref.sync import markcoroutinefunction

    inspect.markcoroutinefunction = markcoroutinefunction

import django

django.setup()

from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.middleware import SessionMiddleware
from django.test import RequestFactory, override_settings
from django.utils import timezone

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


def header(name, key=None, ago=0, **changes):
    """A Cookie header of a session of this user, made with another key, some seconds ago, or with other members."""
    user = auth.get_user_model()._default_manager.get_by_natural_key(name)
    then = time.time() - ago
    with override_settings(SECRET_KEY=key or settings.SECRET_KEY), mock.patch("time.time", lambda: then):
        request = RequestFactory().get("/")
        session = request.session = SessionStore()
        auth.login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
        session.update(changes)
        session.save()
    if ago and hasattr(session, "get_model_class"):
        ends = timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE - ago)
        session.get_model_class().objects.filter(pk=session.session_key).update(expire_date=ends)
    elif ago and hasattr(session, "storage_path"):
        os.utime(session._key_to_file(), (then, then))
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def opened(names):
    yield "nothing", "other=1"
    for name in names:
        right = header(name)
        yield f"{name}: right", right
        yield f"{name}: among others", f"a=b; {right}; c=d"
        yield f"{name}: another letter", right[:-3] + ("a" if right[-3] != "a" else "b") + right[-2:]
        yield f"{name}: a stranger's key", header(name, "a stranger's key")
        for fallback in getattr(settings, "SECRET_KEY_FALLBACKS", ()):
            yield f"{name}: {fallback}", header(name, fallback)
        # Nearly at its end, and just past it; a zone that is mistaken is wrong by hours.
        yield f"{name}: lately", header(name, ago=settings.SESSION_COOKIE_AGE - 900)
        yield f"{name}: too late", header(name, ago=settings.SESSION_COOKIE_AGE + 900)
        yield f"{name}: another password", header(name, _auth_user_hash="0" * 64)
        yield f"{name}: no such backend", header(name, _auth_user_backend="django.contrib.auth.backends.RemoteUserBackend")
        yield f"{name}: nobody", header(name, _auth_user_id="999999")


def known(cookie):
    request = RequestFactory().get("/", HTTP_COOKIE=cookie)
    SessionMiddleware(lambda request: None).process_request(request)
    user = auth.get_user(request)
    return user.get_username() if user.is_authenticated else None


if sys.argv[1] == "open":
    print(json.dumps(list(opened(sys.argv[2:]))))
else:
    print(json.dumps([known(line.rstrip("\n")) for line in sys.stdin]))
