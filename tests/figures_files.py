"""The figures of the README for files of a Django site: `make figures`.

apache/examples/xsendfile.conf as it stands, on an Apache with one child of 8 threads; ab asks it for the same file in each
way in turn, over connections that are kept. A browser has logged in to Django, by a session in its database; who comes with
a password has Django's default hash, which the module remembers to have verified, or does not (AuthDjangoCacheTimeout off).
"""
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

from measured import Httpd, here, new_state, venv

ROUNDS, SECONDS, CLIENTS, SIZE = 5, 2, 4, 10_000
VIEW = "X-Sendfile, a view with a session"

MAKE_USERS = """
import remote_prepare
from django.contrib.auth.hashers import PBKDF2PasswordHasher as Default
from django.contrib.auth.models import Permission, User
reader = Permission.objects.get(codename="view_group")
for name, iterations in (("default", Default.iterations), ("session", 1000)):
    user = User.objects.create(username=name, password=Default().encode("secret", "a" * 22, iterations))
    user.user_permissions.add(reader)
print(remote_prepare.django.get_version(), Default.iterations)
"""


def session(server):
    """The cookie of a browser that logged in."""
    url = f"http://127.0.0.1:{server.port}/open-session/?username=session&password=secret"
    head = subprocess.check_output(["curl", "-sS", "-f", "-i", "--noproxy", "*", url], text=True)
    return re.search(r"^set-cookie: (sessionid=\w+)", head, re.I | re.M)[1]


def cpu_seconds(server):
    """What httpd's child and mod_wsgi's processes have used so far."""
    pid = server.process.pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    stats = [pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def measure(server, path, *words):
    """Answers per second, all of them 200 and the whole file, and CPU milliseconds for each."""
    url = f"http://127.0.0.1:{server.port}{path}"
    command = ["ab", "-q", "-k", "-c", str(CLIENTS), "-t", str(SECONDS), "-n", "10000000", *words, url]
    before = cpu_seconds(server)
    text = subprocess.check_output(command, text=True, stderr=subprocess.STDOUT)
    used = cpu_seconds(server) - before
    found = dict(re.findall(r"^([A-Z][\w -]+):\s+([\d.]+)", text, re.M))
    if found["Failed requests"] != "0" or "Non-2xx responses" in found or found["Document Length"] != str(SIZE):
        raise SystemExit(f"{path}:\n{text}\n{(server.dir / 'error.log').read_text()}")
    return float(found["Requests per second"]), 1000 * used / int(found["Complete requests"])


state = new_state()
servers = []
try:
    files, site = state / "files", state / "site"
    for directory in (files, site):
        directory.mkdir()
    (files / "file.txt").write_text("x" * SIZE)
    database = site / "db.sqlite3"
    project = f"{here}/django:{here}/../apache/examples"
    environment = {
        "DJANGO_DB": str(database), "PYTHONPATH": project, "PYTHONDONTWRITEBYTECODE": "1", "REMOTE_FILES": str(files),
    }
    made = subprocess.check_output(
        [venv / "bin/python", "-c", MAKE_USERS], text=True, env={**os.environ, **environment}
    ).split()
    for path in (site, database):
        shutil.chown(path, "www-data")
    defines = {
        "XSENDFILE_FILES": files, "XSENDFILE_PROJECT": project, "XSENDFILE_SCRIPT": here / "django/remote_wsgi.py",
        "XSENDFILE_VENV": venv,
    }
    server = Httpd(
        state, "server", ["alias", "socache_shmcb", "wsgi", "xsendfile"],
        "".join(f'Define {name} "{value}"\n' for name, value in defines.items())
        + f"LoadModule authnz_django_module {os.environ['MODULE']}\nAuthDjangoDatabase sqlite:{database}\n"
        f"WSGISocketPrefix {state}/wsgi\nMaxKeepAliveRequests 0\nInclude {here}/../apache/examples/xsendfile.conf\n"
        f'Alias "/open" "{files}"\n<Location "/open">\nRequire all granted\n</Location>\n'
        f'Alias "/hashed" "{files}"\n<Location "/hashed">\nAuthDjangoCacheTimeout off\n</Location>\n',
        environment,
    )
    servers.append(server)
    ways = {
        "not protected": ("/open/file.txt",),
        VIEW: ("/downloads/file.txt", "-C", session(server)),
        "this module, password verified before": ("/files/file.txt", "-A", "default:secret"),
        f"this module, {made[1]} iterations each time": ("/hashed/file.txt", "-A", "default:secret"),
    }
    rates, costs = ({way: [] for way in ways} for _ in range(2))
    for number in range(ROUNDS + 1):
        for way, words in ways.items():
            answers, cost = measure(server, *words)
            # The first round warms everything up.
            if number:
                rates[way].append(answers)
                costs[way].append(cost)
    print(f"Django {made[0]}, a file of {SIZE} bytes, {CLIENTS} clients, {ROUNDS} rounds of {SECONDS} s in turn")
    print("What else the machine does lowers the requests/s, and hardly changes the CPU time.")
    print("| | requests/s | of X-Sendfile's | CPU ms each | of X-Sendfile's |\n| --- | ---: | ---: | ---: | ---: |")
    for way in ways:
        figures = []
        for table in (rates, costs):
            ratios = [mine / view for mine, view in zip(table[way], table[VIEW])]
            figures += [f"{statistics.median(table[way]):.4g}", f"{statistics.median(ratios):.3g}"]
        print(f"| {way} | {' | '.join(figures)} |")
finally:
    for server in servers:
        server.stop()
    shutil.rmtree(state)
sys.exit(0)
