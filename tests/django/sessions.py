"""Sessions of the reference project, as the login page of its site makes and ends them: JSON lines in and out.

    {"login": NAME, "backend": PATH}  by Django's login()    ->  {"answer": COOKIE}
    {"logout": COOKIE}                by Django's logout()   ->  {"answer": null}
    {"anonymous": true}               a session of nobody    ->  {"answer": COOKIE}
    {"expire": COOKIE}                a second ago           ->  {"answer": null}
    {"change": ["active=bob=0", …]}   as change.py does      ->  {"answer": null}

"engine" names the module of SESSION_ENGINE, "settings" what differs from settings.py. The files of the engine
`file` are made readable for httpd, which here is another user.
"""
import json
import os
import sys
from datetime import timedelta
from importlib import import_module

from change import change  # django.setup()
from django.conf import settings
from django.contrib.auth import get_user_model, login, logout
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.test import override_settings
from django.utils import timezone


def store(engine):
    return import_module(f"django.contrib.sessions.backends.{engine}").SessionStore


def open_files():
    if settings.SESSION_FILE_PATH:
        for file in os.scandir(settings.SESSION_FILE_PATH):
            os.chmod(file.path, 0o644)


def answer(question):
    request = HttpRequest()
    engine = question.get("engine", "db")
    if "change" in question:
        for word in question["change"]:
            change(word)
        return None
    if "login" in question or "anonymous" in question:
        request.session = store(engine)()
        if "login" in question:
            user = get_user_model()._default_manager.get_by_natural_key(question["login"])
            login(request, user, backend=question.get("backend", settings.AUTHENTICATION_BACKENDS[0]))
        request.session["seen"] = "x" * 200
        request.session.save()
        open_files()
        return request.session.session_key
    request.session = store(engine)(question.get("logout") or question["expire"])
    if "logout" in question:
        logout(request)
    elif engine == "file":
        request.session.set_expiry(timezone.now() - timedelta(seconds=1))
        request.session.save()
        open_files()
    else:
        past = timezone.now() - timedelta(seconds=1)
        Session.objects.filter(pk=question["expire"]).update(expire_date=past)
    return None


for line in sys.stdin:
    try:
        question = json.loads(line)
        with override_settings(**question.get("settings", {})):
            reply = {"answer": answer(question)}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
