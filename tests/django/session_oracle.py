#!/usr/bin/env python3
"""Asks the Django on PYTHONPATH: sessions of every engine, right, wrong and mutated, and Cookie headers.

    session_oracle.py SEED ROUNDS

Each line is one case in JSON. Of a session: the Cookie header, what is behind its key, the keys, the
passwords, and whom SessionMiddleware and get_user see; what raises, where Django would answer 500, lets
nobody in. Of a header: what parse_cookie makes of it.
"""

import datetime
import json
import os
import random
import sys
import tempfile
import time

from session_sample import AGE, ALPHABET, COOKIE, ENGINES, SECRETS, STRANGER, for_python_3_11, has_odd_end, header_of, mutate, other_key, see, write


def configure(directory):
    for_python_3_11()
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


IDS = ["1", "1", "1", "1", "10", "2", "7", "123456", 1, 10, 1_0 * 10**20, " 1\n", "+1", "-1", "01", "1_0", "_10", "10_"]
IDS += ["1__0", "1.0", "", " ", "x", "é", None, [], [1], {}, "\x1f1\x1c", "9" * 30, "\x00", "1\x00", "- 1", "0x1"]
IDS += ["12345678-1234-5678-1234-567812345678", "{12345678123456781234567812345678}", "urn:uuid:" + "aB" * 16, "aB" * 15]


def pick(rng):
    """How a session names its user, and the user."""
    from django.contrib.auth.models import User

    pk = rng.choice(IDS) if rng.randrange(3) == 0 else rng.choice(["1", "1", "10", "2"])
    return pk, User.objects.get(pk=pk if pk in ("1", "2", "10", "123456") else 1)


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
    text, user_id = write(rng, engine, secret, legacy_django, pick)
    text = text.encode()
    was = text
    if rng.randrange(4) == 0:
        text = mutate(rng, text)
    key = "".join(rng.choice(ALPHABET) for _ in range(32))
    asked = key
    if rng.randrange(8) == 0:
        asked = other_key(rng, key)
    header = header_of(rng, text if engine == "signed_cookies" else asked.encode())
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
        seen = see(engine, header)
        answer = seen if isinstance(seen, dict) else seen.pk
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
        "odd_end": has_odd_end(engine, text),
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
