"""The figures of the README, measured anew: `make figures`.

One SQLite database made by Django with its default hasher; one Apache with this module and one with
mod_wsgi and Django's own handlers, both asked in turn for the same file by the same user. Prints medians,
the ratio pair by pair, and what a child holds privately afterwards. Needs root, as the tests do.
"""
import os
import shutil
import statistics
import subprocess
import sys

from measured import Httpd, new_state, venv

ROUNDS = 15

SETTINGS = """
import django
from django.conf import settings
settings.configure(
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{database}"}}}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
django.setup()
"""
POPULATE = """
from django.core.management import call_command
from django.contrib.auth.models import Group, User
call_command("migrate", verbosity=0)
alice = User.objects.create_user("alice", password="alice secret")
alice.groups.add(Group.objects.create(name="secret-agents"))
print(django.get_version(), *alice.password.split("$")[:2])
"""
HANDLERS = "from django.contrib.auth.handlers.modwsgi import check_password, groups_for_user\n"

state = new_state()
servers = []
try:
    database = state / "db.sqlite3"
    settings = SETTINGS.format(database=database)
    made = subprocess.check_output([venv / "bin/python", "-c", settings + POPULATE], text=True).split()
    shutil.chown(database, "www-data")
    script = state / "auth.wsgi"
    script.write_text(settings + HANDLERS)
    section = "<Location />\nAuthType Basic\nAuthName x\n{}\n</Location>\n"
    plain = Httpd(state, "unprotected", [], "")
    servers.append(plain)
    ours = Httpd(
        state, "mod_authnz_django", [],
        f"LoadModule authnz_django_module {os.environ['MODULE']}\nAuthDjangoDatabase sqlite:{database}\n"
        + section.format("AuthBasicProvider django\nRequire group secret-agents"),
    )
    servers.append(ours)
    wsgi = Httpd(
        state, "mod_wsgi", ["wsgi"],
        f"WSGIPythonHome {venv}\n"
        + section.format(
            f"AuthBasicProvider wsgi\nWSGIAuthUserScript {script} application-group=%{{GLOBAL}}\n"
            f"WSGIAuthGroupScript {script} application-group=%{{GLOBAL}}\nRequire wsgi-group secret-agents"
        ),
    )
    servers.append(wsgi)
    for server in servers:
        server.ask()
    times = {server.dir.name: [] for server in servers}
    for _ in range(ROUNDS):
        for server in servers:
            times[server.dir.name].append(server.ask())
    print(f"Django {made[0]}, {made[1]} with {made[2]} iterations, {ROUNDS} rounds in turn; a login without any cache")
    print("| | median ms | private KiB of a child |\n| --- | ---: | ---: |")
    for server in servers:
        print(f"| {server.dir.name} | {1000 * statistics.median(times[server.dir.name]):.1f} | {server.private_kib()} |")
    ratios = [b / a for a, b in zip(times["mod_authnz_django"], times["mod_wsgi"])]
    print(f"mod_wsgi with Django's handlers takes {statistics.median(ratios):.2f} times as long "
          f"(pair by pair: {min(ratios):.2f} to {max(ratios):.2f})")
finally:
    for server in servers:
        server.stop()
    shutil.rmtree(state)
sys.exit(0)
