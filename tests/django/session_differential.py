#!/usr/bin/env python3
"""Asks the Django on PYTHONPATH, on the database of DJANGO_DB: sessions that its own SessionStore and login()
have put there, and what became of them.

    session_differential.py SEED ROUNDS DIRECTORY

Each line is one case in JSON: the Cookie header, by which engine, keys, clock and moment, and whom
SessionMiddleware and get_user see; what raises, where Django would answer 500, lets nobody in. Rows and the
files in DIRECTORY stay as they were before Django was asked: it flushes and cycles what it reads.

Of twelve cases four are sessions as a site has them, one names its user and one its key in an odd way, three have
lost their user by something that is named, and in three everything is left to chance.
"""
import copy
import datetime
import json
import logging
import os
import random
import sys
import uuid
import zoneinfo
from contextlib import contextmanager
from unittest import mock

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import session_sample as sample
from session_sample import AGE, COOKIE, ENGINES, SECRETS, STRANGER

sample.for_python_3_11()

import django

django.setup()

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.sessions.models import Session
from django.core import signing
from django.core.cache import cache
from django.db import connection, models, transaction
from django.http import HttpRequest
from django.test.utils import override_settings
from django.utils import timezone
from django.utils.module_loading import import_string

LEGACY = django.VERSION < (4,)
User = get_user_model()
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
REMOTE_BACKEND = "django.contrib.auth.backends.RemoteUserBackend"
SITE = {
    "AUTHENTICATION_BACKENDS": [MODEL_BACKEND, REMOTE_BACKEND],
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    "SESSION_COOKIE_AGE": AGE,
    "SESSION_FILE_PATH": sys.argv[3],
}
# No clock is put forward or back near these days.
MONTHS = [1, 2, 5, 6, 7, 8, 9, 12]
SECOND = datetime.timedelta(seconds=1)
MICROSECOND = datetime.timedelta(microseconds=1)
SPOILS = ["stranger", "salt", "ended", "inactive", "gone", "password", "backend", "cut", "changed", "anonymous", "other cookie"]

IS_UUID = isinstance(getattr(User._meta.pk, "target_field", User._meta.pk), models.UUIDField)
USERS = list(User._default_manager.all())
ACTIVE = [user for user in USERS if user.is_active]
INACTIVE = [user for user in USERS if not user.is_active]


@contextmanager
def at(moment):
    """Django's clock stands; `moment` is in UTC."""
    local = moment if settings.USE_TZ else moment.astimezone(zoneinfo.ZoneInfo(settings.TIME_ZONE)).replace(tzinfo=None)
    with mock.patch("time.time", lambda: moment.timestamp()), mock.patch("django.utils.timezone.now", lambda: local):
        yield


def someday(rng):
    micros = rng.choice([0, 0, 1, 999999, rng.randrange(10**6)])
    day = datetime.datetime(rng.randrange(2003, 2037), rng.choice(MONTHS), rng.randrange(5, 20), tzinfo=datetime.timezone.utc)
    return day + datetime.timedelta(seconds=rng.randrange(86400), microseconds=micros)


def spellings(user):
    """Ways to write a primary key: Django writes the first, and reads several."""
    text = str(user.pk)
    every = [text, f" {text}\n", f"{text} ", f"{text}.0", f"{text}abc", f"-{text}", f"{text}\x00", f"{text}e0", f"- {text}"]
    every += ["", " ", "x", "é", None, [], [text], {}, "9" * 30, "0x1", "%", "' OR 1=1 --", f"{text}\u2003", text[:-1]]
    if IS_UUID:
        every += [user.pk.hex, text.upper(), f"{{{text}}}", user.pk.urn, user.pk.hex.upper(), user.pk.int, "1" + text]
    else:
        every += [user.pk, f"+{text}", f"00{text}", f"{user.pk:032x}", f"{user.pk:032}", f"0_{text}", user.pk * 10**20, user.pk + 0.5]
    return every


def pick(rng):
    user = rng.choice(USERS)
    return rng.choice(spellings(user)) if rng.randrange(3) == 0 else str(user.pk), user


def gone(rng):
    """A user who was deleted since."""
    user = copy.copy(rng.choice(ACTIVE))
    user.pk = uuid.UUID(int=rng.getrandbits(128)) if IS_UUID else rng.choice([max(user.pk for user in USERS) + 1, 10**15, -1])
    return user


def log_in(rng, engine, way):
    """As a site's login page does."""
    user = copy.copy(rng.choice(INACTIVE if way == "inactive" else ACTIVE))
    backend = rng.choice([MODEL_BACKEND, MODEL_BACKEND, REMOTE_BACKEND])
    request = HttpRequest()
    request.session = sample.store_of(engine)
    for number in range(rng.randrange(4)):
        request.session[f"cart{number}"] = sample.junk(rng)
    if way == "gone":
        user = gone(rng)
    if way == "password":
        # It was another one then.
        user.password = rng.choice([user.password + "x", user.password[:-1] + "\t", "x" + user.password])
    if way == "backend":
        backend = rng.choice(["django.contrib.auth.backends.AllowAllUsersModelBackend", "x.Y", " ", MODEL_BACKEND + " "])
    if way != "anonymous":
        # Not last_login: the row stays as it is.
        with mock.patch("django.contrib.auth.user_logged_in.send"):
            login(request, user, backend=backend)
    if way == "spelling":
        request.session["_auth_user_id"] = rng.choice(spellings(user))
    request.session.save()
    return request.session.session_key, request.session.get("_auth_user_id")


def path_of(key):
    return os.path.join(settings.SESSION_FILE_PATH, COOKIE + key)


def read(engine, key):
    if engine == "signed_cookies":
        return key.encode()
    if engine == "file":
        with open(path_of(key), "rb") as file:
            return file.read()
    return Session.objects.get(pk=key).session_data.encode()


def put(engine, key, text, modified):
    """The session's text where Django looks for it; gives it as the database took it."""
    if engine == "file":
        with open(path_of(key), "wb") as file:
            file.write(text)
        os.utime(path_of(key), ns=(0, modified))
    elif engine != "signed_cookies":
        # No text of a database's is more than UTF-8, and PostgreSQL's has no NUL.
        text = text.decode(errors="replace").replace("\x00", "\x01").encode()
        Session.objects.filter(pk=key).update(session_data=text.decode())
    return text


def nanoseconds(moment):
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // MICROSECOND * 1000


def make(rng, number):
    """A session, in the database where it belongs there."""
    engine = ENGINES[number // 4 % len(ENGINES)]
    if not settings.USE_TZ:
        # The others know no clock but UTC.
        engine = ENGINES[number // 4 % 2]
    way = ["intact", rng.choice(SPOILS), ["intact", "spelling", "key"][number // 16 % 3], "any"][number % 4]
    now = someday(rng)
    fallbacks = [] if LEGACY else SECRETS[1 : rng.randrange(4)]
    if way == "any":
        secret = rng.choice([SECRETS[0]] * 6 + SECRETS[1:] + [STRANGER])
    else:
        secret = STRANGER if way == "stranger" else rng.choice([SECRETS[0], *fallbacks])
    # File, cookie and row end by clocks of their own.
    ago = rng.choice([0, 1, AGE // 2, AGE - 2])
    if way == "ended":
        ago = rng.choice([AGE + 1, AGE + 100])
    elif way == "any":
        ago = rng.choice([0, 0, 0, 0, 0, 0, AGE - 2, AGE - 1, AGE, AGE + 1])
    then = now - ago * SECOND
    overrides = {"SECRET_KEY": secret} if LEGACY else {"SECRET_KEY": secret, "SECRET_KEY_FALLBACKS": []}
    if LEGACY and rng.randrange(3) == 0:
        overrides["DEFAULT_HASHING_ALGORITHM"] = "sha1"
    with override_settings(**overrides), at(then):
        if way == "any" and rng.randrange(2):
            text, user_id = sample.write(rng, engine, secret, LEGACY, pick, [0])
            if engine == "signed_cookies":
                key = text
            else:
                key = "".join(rng.choice(sample.ALPHABET) for _ in range(32))
            text = text.encode()
            if engine in ("db", "cached_db"):
                Session.objects.create(session_key=key, session_data="", expire_date=timezone.now() + AGE * SECOND)
        else:
            key, user_id = log_in(rng, engine, way)
            if way == "salt":
                # As of another SessionStore of the same project.
                data = sample.store_of(engine, key).load()
                text = signing.dumps(data, salt="x.SessionStore", serializer=import_string(settings.SESSION_SERIALIZER), compress=True).encode()
            else:
                text = read(engine, key)
    was = text
    if way == "cut":
        text = text[: rng.choice([-1, -2, len(text) // 2, 0, 1])]
    elif way == "changed":
        place = rng.randrange(len(text) - 4)
        text = text[:place] + (b"A" if text[place : place + 1] != b"A" else b"B") + text[place + 1 :]
    elif way == "any" and rng.randrange(4) == 0:
        text = sample.mutate(rng, text)
    put_text = put(engine, key, text, nanoseconds(then))
    with at(now):
        end = {"ended": [0 * SECOND, -MICROSECOND, -SECOND, -86400 * SECOND], "intact": [MICROSECOND, SECOND, 86400 * SECOND]}.get(way, [])
        if way == "any":
            end = [None] * 5 + [-SECOND, -MICROSECOND, 0 * SECOND, MICROSECOND, SECOND, 20 * 365 * 86400 * SECOND]
        end = rng.choice(end) if end else None
        if end is not None and engine in ("db", "cached_db"):
            Session.objects.filter(pk=key).update(expire_date=timezone.now() + end)
    # A cache would not have heard of what was done to the row, and often has lost the session.
    if way != "intact" or rng.randrange(2):
        cache.clear()
    asked = text if engine == "signed_cookies" else key.encode()
    if way == "other cookie":
        asked = sample.other_key(rng, "".join(rng.choice(sample.ALPHABET) for _ in range(32))).encode()
    elif engine != "signed_cookies" and (way == "key" or way == "any" and rng.randrange(8) == 0):
        asked = sample.other_key(rng, key).encode()
    plain = COOKIE.encode() + b"=" + asked
    return {
        "engine": engine,
        "way": way,
        "id": user_id,
        "now": nanoseconds(now) // 1000,
        "header": sample.header_of(rng, asked) if way in ("any", "key") else rng.choice([plain, b"csrftoken=x; " + plain, plain + b"; a=b"]),
        "key": key,
        "text": put_text,
        "modified": nanoseconds(then),
        "intact": put_text == was,
        "odd_end": sample.has_odd_end(engine, put_text),
        "keys": [SECRETS[0], *fallbacks],
        "timezone": None if settings.USE_TZ else settings.TIME_ZONE,
    }


def ask(case):
    """Whom Django sees, which leaves no trace in the database nor in the files."""
    now = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + case["now"] * MICROSECOND
    overrides = {"SECRET_KEY": SECRETS[0]}
    if not LEGACY:
        overrides["SECRET_KEY_FALLBACKS"] = case["keys"][1:]
    with override_settings(**overrides), at(now), transaction.atomic():
        seen = sample.see(case["engine"], case["header"])
        transaction.set_rollback(True)
    if case["engine"] == "file":
        put("file", case["key"], case["text"], case["modified"])
    if isinstance(seen, dict):
        return seen
    return {"id": str(seen.pk), "name": seen.get_username()} if seen.is_authenticated else None


def main():
    rng = random.Random(f"{sys.argv[1]} {django.get_version()} {connection.vendor}")
    rounds = int(sys.argv[2])
    logging.disable()
    print(json.dumps({"django": django.get_version()}))
    Session.objects.all().delete()
    for clock, share in [({"USE_TZ": True}, 1), ({"USE_TZ": False, "TIME_ZONE": "Europe/Berlin"}, 4)]:
        with override_settings(**SITE, **clock):
            with transaction.atomic():
                cases = [make(rng, number) for number in range(rounds // share)]
            for case in cases:
                answer = ask(case)
                print(json.dumps({**case, "header": case["header"].hex(), "text": case["text"].hex(), "answer": answer}))


main()
