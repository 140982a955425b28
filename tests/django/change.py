"""Changes users of the reference project, as an administrator of the site does in Django:

    change.py password=NAME=SECRET  active=NAME=0|1  group=NAME=GROUP  ungroup=NAME=GROUP  delete=NAME
              set=NAME=FIELD=VALUE  bulk=NAME=FIELD=VALUE  login=NAME  create=NAME
              permit=NAME=APP.CODENAME  forbid=NAME=APP.CODENAME  allow=GROUP=APP.CODENAME  deny=GROUP=APP.CODENAME
              remember=SESSION=TEXT  expire=SESSION=SECONDS  logout=SESSION

A group or permission that does not exist is made. The sessions are those of log_in().
"""
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from django.contrib.auth import SESSION_KEY, get_user_model, login, logout
from django.contrib.auth.models import Group, Permission, update_last_login
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest


def log_in(name):
    """As a site's login page does it. Of the session: its key, whose it is, session_data, expire_date in UTC."""
    request = HttpRequest()
    request.session = SessionStore()
    user = get_user_model()._default_manager.get_by_natural_key(name)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    row = Session.objects.get(pk=request.session.session_key)
    expire_date = row.expire_date.strftime("%Y-%m-%d %H:%M:%S")
    return [row.session_key, request.session[SESSION_KEY], row.session_data, expire_date]


def change_session(what, key, value):
    request = HttpRequest()
    request.session = SessionStore(key)
    if what == "logout":
        logout(request)
        return
    if what == "remember":
        request.session["remembered"] = value
    else:
        request.session.set_expiry(int(value))
    request.session.save()


def permission(name):
    app_label, codename = name.split(".", 1)
    known = Permission.objects.filter(content_type__app_label=app_label, codename=codename).first()
    if known:
        return known
    content_type, _ = ContentType.objects.get_or_create(app_label=app_label, model=app_label)
    return Permission.objects.create(content_type=content_type, codename=codename, name=codename)


def change(word):
    what, name, *value = word.split("=", 2)
    if what in ("remember", "expire", "logout"):
        change_session(what, name, *(value or [""]))
        return
    if what in ("allow", "deny"):
        permissions = Group.objects.get(name=name).permissions
        (permissions.add if what == "allow" else permissions.remove)(permission(*value))
        return
    if what == "create":
        get_user_model()._default_manager.create(**{get_user_model().USERNAME_FIELD: name})
        return
    user = get_user_model()._default_manager.get_by_natural_key(name)
    if what == "password":
        user.set_password(*value)
        user.save()
    elif what == "active":
        user.is_active = value == ["1"]
        user.save()
    elif what == "group":
        user.groups.add(Group.objects.get_or_create(name=value[0])[0])
    elif what == "ungroup":
        user.groups.remove(Group.objects.get(name=value[0]))
    elif what == "set":
        field, text = value[0].split("=", 1)
        setattr(user, field, text)
        user.save()
    elif what == "bulk":
        field, text = value[0].split("=", 1)
        get_user_model()._default_manager.filter(pk=user.pk).update(**{field: text})
    elif what == "permit":
        user.user_permissions.add(permission(*value))
    elif what == "forbid":
        user.user_permissions.remove(permission(*value))
    elif what == "login":
        update_last_login(None, user)
    elif what == "delete":
        user.delete()
    else:
        raise SystemExit(f"change: no such change: {what}")


if __name__ == "__main__":
    for word in sys.argv[1:]:
        change(word)
