"""Makes the tables, lets Apache read what it needs, and makes alice and bob, once."""

from pathlib import Path

import django

django.setup()

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection, transaction
from django.utils.crypto import get_random_string

call_command("migrate", verbosity=0)
with transaction.atomic():
    with connection.cursor() as cursor:
        cursor.execute(Path(__file__).with_name("grants.sql").read_text())
    agents, new = Group.objects.get_or_create(name="secret-agents")
    if new:
        passwords = {name: get_random_string(12) for name in ("alice", "bob")}
        # alice may log in at /admin/, and add bob to the group there.
        alice = User.objects.create_superuser("alice", password=passwords["alice"])
        alice.groups.add(agents)
        User.objects.create_user("bob", password=passwords["bob"])
if new:
    for name, password in passwords.items():
        print(f"password of {name}: {password}")
