"""The site that `make bench` asks for: run in target/venv with DJANGO_DB, and a file that keeps the hashes.

`one` and `slow0000` to `slow0999` have Django's default hash, of 65 salts in all, because each takes its time; `user0000` to
`user0999` have a cheap one, for what is measured only after it was verified. All are in the group; `one` may do what the X-Sendfile
example asks, and has a session. Prints the version of Django and its iterations.
"""
import concurrent.futures
import datetime
import json
import pathlib
import sys

import django

django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import PBKDF2PasswordHasher as Default
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone

CHEAP = 1000
SALTS = 64


def encode(name):
    iterations = CHEAP if name.startswith("user") else Default.iterations
    return Default().encode(password, f"{name:x<22}", iterations)


kept, password, session_key = pathlib.Path(sys.argv[1]), *sys.argv[2:]
if kept.exists():
    rows = json.loads(kept.read_text())
else:
    slow, user = ([f"{kind}{n:04}" for n in range(1000)] for kind in ("slow", "user"))
    hashed = ["one", *slow[:SALTS], *user]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        encoded = dict(zip(hashed, pool.map(encode, hashed)))
    rows = list(encoded.items()) + [(name, encoded[slow[n % SALTS]]) for n, name in enumerate(slow) if name not in encoded]
    kept.write_text(json.dumps(rows))
call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
group = Group.objects.create(name="members")
User.objects.bulk_create(User(username=name, password=encoded) for name, encoded in rows)
User.groups.through.objects.bulk_create(
    User.groups.through(user_id=key, group_id=group.pk) for key in User.objects.values_list("pk", flat=True)
)
one = User.objects.get(username="one")
one.user_permissions.add(Permission.objects.get(codename="view_group"))
Session.objects.create(
    session_key=session_key, expire_date=timezone.now() + datetime.timedelta(days=1),
    session_data=SessionStore().encode({
        SESSION_KEY: str(one.pk), BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: one.get_session_auth_hash(),
    }),
)
print(django.get_version(), Default.iterations)
