"""Django's own answers, for comparison: JSON lines in, JSON lines out.

    {"op": "check_password", "username": …, "password": …}   ->  {"answer": true | false | null}
    {"op": "groups_for_user", "username": …}                 ->  {"answer": [names, sorted]}
    {"op": "has_perm", "username": …, "permissions": […]}    ->  {"answer": [true | false, in that order]}
    {"op": "flags", "username": …}                           ->  {"answer": {"is_active", "is_staff", "is_superuser"}}
    What raises, where mod_wsgi would answer 500             ->  {"error": "ValueError: …"}

Runs under target/venv with its Django 5.2, or with another first on PYTHONPATH (target/django-6). Asks
the functions that Django gives to mod_wsgi. A check may upgrade the hash, that is, write the row:
each question is asked in a transaction that is rolled back, so what the module sees stays as it is.
Rows that populate.py marks "oracle": false must not be asked: Django would compute for years.
"""
import inspect
import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

# Django 6.1 takes from Python 3.12 what it took from asgiref before. It marks asynchronous views with
# it, which do not occur here.
if not hasattr(inspect, "markcoroutinefunction"):
    from asgiref.sync import markcoroutinefunction

    inspect.markcoroutinefunction = markcoroutinefunction

import django

django.setup()

from django.contrib.auth import get_user_model
from django.contrib.auth.handlers import modwsgi
from django.db import transaction


def answer(question):
    if question["op"] == "check_password":
        return modwsgi.check_password({}, question["username"], question["password"])
    if question["op"] == "groups_for_user":
        return sorted(name.decode() for name in modwsgi.groups_for_user({}, question["username"]))
    user = get_user_model()._default_manager.get_by_natural_key(question["username"])
    if question["op"] == "has_perm":
        return [user.has_perm(permission) for permission in question["permissions"]]
    if question["op"] == "flags":
        # A model without the column has no staff.
        return {name: getattr(user, name, False) for name in ("is_active", "is_staff", "is_superuser")}
    raise SystemExit(f"oracle: no such op: {question['op']}")


for line in sys.stdin:
    try:
        with transaction.atomic():
            try:
                reply = {"answer": answer(json.loads(line))}
            finally:
                transaction.set_rollback(True)
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
