"""The figures of the README, measured anew: `make figures`.

One SQLite database made by Django with its default hasher; one Apache with this module and one with
mod_wsgi and Django's own handlers, both asked in turn for the same file by the same user. Prints medians,
the ratio pair by pair, and what a child holds privately afterwards. Needs root, as the tests do.
"""
import base64
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROUNDS = 15
here = pathlib.Path(__file__).resolve().parent
venv = pathlib.Path(os.environ["DJANGO_VENV"]).resolve()


def apxs(name):
    return subprocess.check_output(["apxs", "-q", name], text=True).strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Httpd:
    """An event MPM with one child, so that there is one memory to look at."""

    def __init__(self, state, name, modules, lines):
        self.dir = state / name
        (self.dir / "htdocs").mkdir(parents=True)
        (self.dir / "htdocs/file.txt").write_text("x" * 1000)
        self.port = free_port()
        libexec = apxs("LIBEXECDIR")
        loaded = ["mpm_event", "authn_core", "authz_core", "auth_basic", "authz_user", *modules]
        load = "".join(f"LoadModule {name}_module {libexec}/mod_{name}.so\n" for name in loaded)
        (self.dir / "httpd.conf").write_text(
            f"ServerRoot {self.dir}\nServerName localhost\nListen 127.0.0.1:{self.port}\nPidFile {self.dir}/pid\n"
            f"User www-data\nGroup www-data\nMutex file:{self.dir} default\nErrorLog {self.dir}/error.log\n{load}"
            "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\n"
            f"MaxSpareThreads 8\nDocumentRoot {self.dir}/htdocs\n{lines}"
        )
        program = f"{apxs('SBINDIR')}/{apxs('PROGNAME')}"
        self.process = subprocess.Popen([program, "-DFOREGROUND", "-f", self.dir / "httpd.conf"], process_group=0)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit((self.dir / "error.log").read_text())

    def ask(self):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/file.txt")
        request.add_header("Authorization", "Basic " + base64.b64encode(b"alice:alice secret").decode())
        start = time.perf_counter()
        try:
            assert len(urllib.request.urlopen(request, timeout=30).read()) == 1000
        except OSError as error:
            raise SystemExit(f"{self.dir.name}: {error}\n{(self.dir / 'error.log').read_text()}")
        return time.perf_counter() - start

    def private_kib(self):
        child = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0]
        rollup = pathlib.Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))

    def stop(self):
        self.process.terminate()
        self.process.wait()


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

# mod_wsgi's Python lies in the venv, and httpd's children are not root.
if subprocess.run(["runuser", "-u", "www-data", "--", "test", "-x", venv / "bin/python"]).returncode:
    raise SystemExit(f"figures: www-data cannot reach {venv}: clone to a directory that every user may enter")

state = pathlib.Path(tempfile.mkdtemp(prefix="authnz-figures-"))
state.chmod(0o755)
servers = []
try:
    database = state / "db.sqlite3"
    settings = SETTINGS.format(database=database)
    made = subprocess.check_output([venv / "bin/python", "-c", settings + POPULATE], text=True).split()
    shutil.chown(database, "www-data")
    shutil.chown(state, "www-data")
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
