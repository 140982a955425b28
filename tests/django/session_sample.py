"""Sessions right, wrong and mutated, and what the Django on PYTHONPATH makes of a Cookie header: for
session_oracle.py and session_differential.py. To be imported it needs no Django that is set up."""

import base64
import datetime
import inspect
import io
import json
import time
import zlib
from unittest import mock

COOKIE = "sessionid"
AGE = 1000
SECRETS = ["the present key", "ein älterer Schlüssel", "yet another key"]
STRANGER = "somebody else's key"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
ENGINES = ["db", "cached_db", "file", "signed_cookies"]
AGOS = [0, 0, 0, 1, AGE - 100, AGE + 100, -500]


def for_python_3_11():
    """Django 6 asks for Python 3.12, but here it lacks only this in 3.11."""
    if not hasattr(inspect, "markcoroutinefunction"):
        from asgiref.sync import markcoroutinefunction

        inspect.markcoroutinefunction = markcoroutinefunction


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


def content(rng, engine, pick):
    """A session's dictionary: most are of a user, whom `pick` gives and how to name him."""
    import django

    session = {}
    for number in range(rng.randrange(3)):
        session[rng.choice(["cart", "_csrftoken", "é", "cut \ud83d"]) + str(number)] = junk(rng)
    if rng.randrange(12) == 0:
        return session
    pk, user = pick(rng)
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


def has_odd_end(engine, text):
    """Whether a file's session ends at a moment that Django would have written in another way: which of them Python
    reads depends on its version."""
    if engine != "file":
        return False
    try:
        payload = text.split(b":")[0]
        data = base64.urlsafe_b64decode(payload.lstrip(b".") + b"===")
        end = json.loads(zlib.decompress(data) if payload.startswith(b".") else data)["_session_expiry"]
        return isinstance(end, str) and end != datetime.datetime.fromisoformat(end).isoformat()
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error):
        return False


def write(rng, engine, secret, legacy_django, pick, agos=AGOS):
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
        session = content(rng, engine, pick)
        ago = rng.choice(agos)
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
    """Whom Django sees, or what it raises."""
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
            return get_user(request)
        except Exception as error:
            return {"raised": type(error).__name__}


def header_of(rng, value):
    """A Cookie header with that session's cookie, often among others."""
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
    return header


def other_key(rng, key):
    """No key, or one that looks like it."""
    return rng.choice([key[:-1], key.upper(), "", "short", key + "a", "../" + key, f'"{key}"', f" {key}\t", f"{key}, b=c", "é" + key])
