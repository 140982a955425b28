#!/usr/bin/env python3
"""Asks the Django on PYTHONPATH: sessions of every engine, right, wrong and mutated, and Cookie headers.

    session_oracle.py SEED ROUNDS

Each line is one case in JSON. Of a session: the Cookie header, what is behind its key, the keys, the
passwords, and whom SessionMiddleware and get_user see; what raises, where Django would answer 500, lets
nobody in. Of a header: what parse_cookie makes of it.
"""

import datetime
import inspect
import io
import json
import os
import random
import sys
import tempfile
import time
from unittest import mock

COOKIE = "sessionid"
AGE = 1000
SECRETS = ["the present key", "ein älterer Schlüssel", "yet another key"]
STRANGER = "somebody else's key"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
ENGINES = ["db", "cached_db", "file", "signed_cookies"]


def configure(directory):
    # Django 6 asks for Python 3.12, but here it lacks only this in 3.11.
    if not hasattr(inspect, "markcoroutinefunction"):
        from asgiref.sync import markcoroutinefunction

        inspect.markcoroutinefunction = markcoroutinefunction
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY=SECRETS[0],
        USE_TZ=True,
        TIME_ZONE="UTC",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[f"django.contrib.{app}" for app in ("contenttypes", "auth", "sessions")],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
        SESSION_FILE_PATH=directory,
        SESSION_COOKIE_AGE=AGE,
    )
    django.setup()
    from django.contrib.auth.models import User
    from django.contrib.contenttypes.models import ContentType
    from django.contrib.auth.models import Group, Permission
    from django.contrib.sessions.models import Session
    from django.db import connection

    with connection.schema_editor() as editor:
        for model in (ContentType, Permission, Group, User, Session):
            editor.create_model(model)
    for pk in (1, 2, 10, 123456):
        user = User(pk=pk, username=f"user{pk}", is_active=pk != 2)
        user.set_password(f"pässword {pk}")
        user.save()


class Raw:
    """A serializer of bytes that are one already."""

    def dumps(self, data):
        return data

    def loads(self, data):
        return data


def junk(rng, depth=0):
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([None, True, False, 0, -1, 10**30, 1.5, 1e300, float("nan"), float("-inf")])
    if kind == 1:
        return "".join(rng.choice("abc\"\\/\n\t\x7fé语🔑\u2028\x00") for _ in range(rng.randrange(12)))
    if kind == 2:
        return "cut " + rng.choice(["\ud83d", "\udd11", "\ud83d\ud83d", "\udd11\ud83d"])
    if kind == 3:
        return "x" * rng.choice([1, 100, 5000])
    if kind < 6:
        return rng.randrange(10**6)
    if kind < 8:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {f"{rng.choice('abcé🔑')}{n}": junk(rng, depth + 1) for n in range(rng.randrange(4))}


IDS = ["1", "1", "1", "1", "10", "2", "7", "123456", 1, 10, 1_0 * 10**20, " 1\n", "+1", "-1", "01", "1_0", "_10", "10_"]
IDS += ["1__0", "1.0", "", " ", "x", "é", None, [], [1], {}, "\x1f1\x1c", "9" * 30, "\x00", "1\x00", "- 1", "0x1"]
IDS += ["12345678-1234-5678-1234-567812345678", "{12345678123456781234567812345678}", "urn:uuid:" + "aB" * 16, "aB" * 15]


def content(rng, engine):
    """A session's dictionary: most are of a user, with all that it takes."""
    import django
    from django.contrib.auth.models import User

    session = {}
    for number in range(rng.randrange(3)):
        session[rng.choice(["cart", "_csrftoken", "é", "cut \ud83d"]) + str(number)] = junk(rng)
    if rng.randrange(12) == 0:
        return session
    pk = rng.choice(IDS) if rng.randrange(3) == 0 else rng.choice(["1", "1", "10", "2"])
    user = User.objects.filter(pk=pk if pk in ("1", "2", "10", "123456") else 1).get()
    session["_auth_user_id"] = pk
    session["_auth_user_backend"] = MODEL_BACKEND
    session["_auth_user_hash"] = user.get_session_auth_hash()
    if rng.randrange(6) == 0:
        member = rng.choice(["_auth_user_id", "_auth_user_backend", "_auth_user_hash"])
        right = session.pop(member)
        wrong = [None, "", 0, False, [], {}, 5, 1.0, [right], "x.Y", "a\ud83d"]
        if isinstance(right, str):
            wrong += [right.upper(), right[:-1], right + " ", right + "\x00"] if member != "_auth_user_id" else []
        if rng.randrange(3) and not (member == "_auth_user_id"):
            session[member] = rng.choice(wrong)
    if engine == "file" and rng.randrange(2):
        from django.utils import timezone

        moment = timezone.now() + datetime.timedelta(seconds=rng.choice([-300, 300]), microseconds=rng.choice([0, 7]))
        offset = datetime.timezone(datetime.timedelta(hours=rng.choice([-5, 0, 2]), minutes=30))
        choices = [None, 0, 0.0, "", 5, 300, 1.5, -5]
        # Django 3.2 writes none and reads none.
        if django.VERSION >= (4, 1):
            choices += [moment.isoformat(), moment.astimezone(offset).isoformat()]
            choices += [moment.replace(tzinfo=None).isoformat(), "tomorrow"]
        session["_session_expiry"] = rng.choice(choices)
    return session


def mutate(rng, text):
    """Text as bytes, changed in one place."""
    place = rng.randrange(len(text) + 1)
    odd = rng.choice([b"=", b"-", b"_", b".", b":", b"A", b"z", b"0", b"\x00", b"\xff", b"\xc3\xa9", b" ", b"\n", b"\""])
    return rng.choice(
        [
            text[:place],
            text[place:],
            text[:place] + odd + text[place:],
            text[:place] + odd + text[place + 1 :],
            text[:place] + text[place + 1 :],
            text[:place] + text[place:].swapcase(),
            text + odd,
            odd + text,
        ]
    )


def write(rng, engine, secret, fallbacks, legacy_django):
    """A session as that Django writes it, with a key of its own: text, and how it was made."""
    from django.conf import settings
    from django.contrib.sessions import serializers
    from django.core import signing
    from django.test.utils import override_settings

    other = {"SECRET_KEY": secret}
    if legacy_django and rng.randrange(3) == 0:
        other["DEFAULT_HASHING_ALGORITHM"] = "sha1"
    if rng.randrange(10) == 0 and hasattr(serializers, "PickleSerializer"):
        other["SESSION_SERIALIZER"] = "django.contrib.sessions.serializers.PickleSerializer"
    if not legacy_django:
        other["SECRET_KEY_FALLBACKS"] = []
    with override_settings(**other):
        store = store_of(engine)
        session = content(rng, engine)
        ago = rng.choice([0, 0, 0, 1, AGE - 100, AGE + 100, -500])
        with mock.patch("time.time", lambda now=time.time() - ago: now):
            salt = store.key_salt if engine != "signed_cookies" else f"django.contrib.sessions.backends.{engine}"
            if rng.randrange(6) == 0:
                raw = mutate(rng, json.dumps(session).encode())
                if rng.randrange(4) == 0:
                    raw = rng.choice(
                        [b"", b"[]", b"5", b"null", b'"x"', b" {} ", b"{} x", b"\xef\xbb\xbf{}", b'{"a":01}', b'{"a":-}']
                        + [b"[" * 900 + b"]" * 900, b'{"a":' + b"9" * 4301 + b"}", b'{"\xe9":"\xff"}', json.dumps(session, indent=2).encode()]
                        + [json.dumps(session).encode()[:-1] + b"," + json.dumps(session).encode()[1:]]
                    )
                salt = rng.choice([salt, salt, salt, salt + "x"])
                text = signing.dumps(raw, salt=salt, serializer=Raw, compress=rng.random() < 0.5)
            elif engine == "signed_cookies":
                store._session_cache = session
                text = store._get_session_key()
            else:
                text = store.encode(session)
    return text, session.get("_auth_user_id")


def store_of(engine, key=None):
    from importlib import import_module

    return import_module(f"django.contrib.sessions.backends.{engine}").SessionStore(key)


def see(engine, header):
    """Whom Django sees; nobody where it raises."""
    from django.contrib.auth import get_user
    from django.contrib.sessions.middleware import SessionMiddleware
    from django.core.handlers.wsgi import WSGIRequest
    from django.test.utils import override_settings

    environ = {"REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO(), "SERVER_NAME": "x", "SERVER_PORT": "80"}
    environ["HTTP_COOKIE"] = header.decode("latin-1")
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
        request = WSGIRequest(environ)
        try:
            SessionMiddleware(lambda request: None).process_request(request)
            return get_user(request).pk
        except Exception as error:
            return {"raised": type(error).__name__}


def reading(field, value):
    try:
        return str(field.to_python(value))
    except Exception:
        return None


def session_case(rng, legacy_django, directory, text=None):
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session
    from django.db import models
    from django.test.utils import override_settings
    from django.utils import timezone

    engine = rng.choice(ENGINES)
    fallbacks = [] if legacy_django else SECRETS[1 : rng.randrange(4)]
    secret = rng.choice([SECRETS[0]] * 6 + SECRETS[1:] + [STRANGER])
    text, user_id = write(rng, engine, secret, fallbacks, legacy_django)
    text = text.encode()
    was = text
    if rng.randrange(4) == 0:
        text = mutate(rng, text)
    key = "".join(rng.choice(ALPHABET) for _ in range(32))
    asked = key
    if rng.randrange(8) == 0:
        asked = rng.choice([key[:-1], key.upper(), "", "short", key + "a", "../" + key, f'"{key}"', f" {key}\t", f"{key}, b=c", "é" + key])
    value = text if engine == "signed_cookies" else asked.encode()
    header = COOKIE.encode() + b"=" + value
    if rng.randrange(3) == 0:
        header = b"".join(
            [
                rng.choice([b"a=b; ", b"sessionid=older; ", b"; ;", b"SessionID=x;", b"x"]),
                rng.choice([b"", b" ", b"\t"]),
                rng.choice([header, header, header.replace(b"=", b" = ", 1)]),
                rng.choice([b"", b";", b"; c=d", b"; sessionid", b"; sessionid=", b"; sessionid=later"]),
            ]
        )
    ago = rng.choice([0, 0, 0, AGE - 100, AGE + 100])
    other = {"SECRET_KEY": SECRETS[0]}
    if not legacy_django:
        other["SECRET_KEY_FALLBACKS"] = fallbacks
    changed = rng.randrange(12) == 0
    with override_settings(**other):
        if engine == "file":
            path = os.path.join(directory, COOKIE + key)
            with open(path, "wb") as file:
                file.write(text)
            modified = time.time() - ago
            os.utime(path, (modified, modified))
        elif engine != "signed_cookies":
            row = text.decode(errors="replace")
            text = row.encode()
            expire_date = timezone.now() + datetime.timedelta(days=1)
            Session.objects.create(session_key=key, session_data=row, expire_date=expire_date)
        if changed:
            was_password = User.objects.get(pk=1).password
            User.objects.filter(pk=1).update(password="md5$x$y")
        passwords = {pk: password for pk, password in User.objects.filter(is_active=True).values_list("pk", "password")}
        answer = see(engine, header)
        if changed:
            User.objects.filter(pk=1).update(password=was_password)
        Session.objects.all().delete()
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
    return {
        "engine": engine,
        "header": header.hex(),
        "key": key,
        "data": text.hex(),
        "intact": text == was,
        "ago": ago,
        "keys": [SECRETS[0], *fallbacks],
        "passwords": passwords,
        "answer": answer,
        "id": user_id,
        "integer": reading(models.BigAutoField(), user_id),
        "uuid": reading(models.UUIDField(), user_id),
    }


def header_case(rng):
    from django.http import parse_cookie

    pieces = [b"a", b"b", b"sessionid", b"=", b"=", b";", b";", b"; ", b", ", b'"', b'"', b"\\", b"\\073", b"\\303\\251", b"\\400"]
    pieces += [b"\\08", b"\\\"", b"\\\\", b" ", b"\t", b"\n", b"\r", b"\x1c", b"\x1f", b"\xc2\xa0", b"\xe2\x80\x83", b"\xc2\x85", b"\x00"]
    pieces += [b"\xff", b"\xc3", b"\xc3\xa9", b"\xf0\x9f\x94", b"\xf0\x9f\x94\x91", b"\xed\xa0\x80", b"/", b"0", b"377", b"\\\n", b"\xe1\xa0\x8e"]
    header = b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 24)))
    return {"header": header.hex(), "cookies": parse_cookie(header.decode(errors="replace"))}


def main():
    seed, rounds = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    directory = tempfile.mkdtemp()
    configure(directory)
    import django

    legacy_django = django.VERSION < (4,)
    print(json.dumps({"django": django.get_version()}))
    import logging

    logging.disable()
    for _ in range(rounds):
        print(json.dumps(session_case(rng, legacy_django, directory)))
    for _ in range(rounds * 2):
        print(json.dumps(header_case(rng)))
    os.rmdir(directory)


main()
