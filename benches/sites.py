"""The columns: who answers, and by which configuration."""
import base64
import dataclasses
import hashlib
import os
import pathlib

from database import GROUPS, PASSWORD, django, names, sqlite
from httpd import Httpd

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = pathlib.Path(os.environ["DJANGO_VENV"]).resolve()
BASIC = 'AuthType Basic\nAuthName "bench"\n'
# Every password of a warm column stays verified for as long as the rounds last.
DAY = 86400


@dataclasses.dataclass
class Column:
    """A configuration; `kind` is who asks: a client whose password is known (`file`) or is hashed each time (`hash`), or a
    `browser` with a session of Django's."""

    key: str
    label: str
    kind: str = "file"
    modules: tuple = ()
    server: str = ""
    user: str = ""
    group: str = ""
    environment: dict = dataclasses.field(default_factory=dict)
    ours: bool = False
    # Whether rows are kept: for a minute at most, which is less than a round takes.
    keeps: bool = False
    database: bool = True
    place: str = ""

    @property
    def who(self):
        """Whom it is shown for: a hash for each request is what users have, since the same one at the same time is computed once."""
        return "crowd" if self.kind == "hash" else "one"

    @property
    def rules(self):
        # What is not protected is measured beside each, too.
        return [rule for rule in ("user", "group") if getattr(self, rule) or self.key == "none"]

    def path(self, rule):
        return self.place or f"/{rule}/file.txt"


def both(key, label, provider, group, extra="", **more):
    """A column of Basic authentication, for any user and for a group."""
    section = f"{BASIC}AuthBasicProvider {provider}\n{extra}"
    return Column(key, label, user=section + "Require valid-user", group=section + group, **more)


def ours(state, key, label, iterations, url, kind="file", timeout=DAY, **more):
    queue = "AuthDjangoHashing queue=256"
    server = (
        f"LoadModule authnz_django_module {os.environ['MODULE']}\nAuthDjangoDatabase {url}\n"
        f"AuthDjangoPasswordHashers pbkdf2_sha256:{iterations}\nAuthDjangoCacheTimeout {timeout}\n"
    )
    if Httpd.accepts(state, queue):
        server += queue
    return both(key, label, "django", "Require group members", kind=kind, server=server, ours=True, **more)


def files(state, kept):
    """The users and the group as mod_authn_file and mod_authz_groupfile want them."""
    users, groups = state / "users", state / "groups"
    sha = "{SHA}" + base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    users.write_text("".join(f"{name}:{sha}\n" for name in names(kept)))
    groups.write_text(f"members: {' '.join(names(kept))}\n")
    return both(
        "file", "mod_authn_file {SHA}", "file", "Require group members", f"AuthUserFile {users}\nAuthGroupFile {groups}\n",
        modules=("authn_file", "authz_groupfile"), database=False,
    )


def dbd(cluster, key, label, provider, table, extra="", **more):
    """mod_authn_dbd with a pool as large as ours, and mod_authz_dbd for the group."""
    pool = (
        f'DBDriver pgsql\nDBDParams "host={cluster.dir} port={cluster.port} user=apache dbname=site"\n'
        "DBDMin 4\nDBDKeep 4\nDBDMax 4\n"
    )
    queries = f'AuthDBDUserPWQuery "SELECT password FROM {table} WHERE username = %s"\nAuthzDBDQuery "{GROUPS}"\n'
    modules = ("dbd", "authn_dbd", "authz_dbd", *more.pop("modules", ()))
    return both(key, label, provider, "Require dbd-group members", queries + extra, modules=modules, server=pool, **more)


def wsgi(cluster):
    """mod_wsgi with Django's own handlers, as Django's documentation has it."""
    script = f"{ROOT}/tests/django/mod_wsgi_auth.py application-group=%{{GLOBAL}}"
    return both(
        "wsgi", "mod_wsgi + Django", "wsgi", "Require wsgi-group members",
        f"WSGIAuthUserScript {script}\nWSGIAuthGroupScript {script}\n", kind="hash", modules=("wsgi",),
        server=f"WSGIPythonHome {VENV}\nWSGIPythonPath {ROOT}/benches:{ROOT}/tests/django",
        environment={"DJANGO_DB": cluster.url("django"), "DJANGO_SETTINGS_MODULE": "bench_settings"},
    )


def view(state, cluster, iterations):
    """apache/examples/xsendfile.conf as it stands: a view of Django decides, by the browser's session."""
    column = ours(state, "view", "X-Sendfile, a Django view", iterations, cluster.url("apache"), kind="browser", place="/downloads/file.txt")
    column.modules, column.ours, column.group = ("wsgi", "xsendfile"), False, ""
    defines = {
        "FILES": state / "htdocs/user", "PROJECT": f"{ROOT}/benches:{ROOT}/tests/django",
        "SCRIPT": ROOT / "tests/django/remote_wsgi.py", "VENV": VENV,
    }
    column.server += "".join(f'\nDefine XSENDFILE_{name} "{value}"' for name, value in defines.items())
    column.server += f"\nWSGISocketPrefix {state}/wsgi\nInclude {ROOT}/apache/examples/xsendfile.conf"
    column.environment = {
        "DJANGO_DB": cluster.url("django"), "DJANGO_SETTINGS_MODULE": "bench_settings",
        "REMOTE_FILES": str(state / "htdocs/user"),
    }
    return column


def session(state, key, label, iterations, url, **more):
    """Ours, for a browser that has logged in to Django."""
    secret = state / "secret_key"
    if not secret.exists():
        secret.write_text(django("secret_key.py", ":memory:"))
        secret.chmod(0o640)
    column = ours(state, key, label, iterations, url, kind="browser", **more)
    column.server += f"\nAuthDjangoSecretKey file:{secret}\nAuthDjangoSession db\n"
    return column


def nginx(state, cluster):
    """nginx asks Django, by gunicorn, about each request (auth_request)."""
    return Column(
        "nginx", "nginx auth_request, Django", kind="browser", user="auth_request", group="",
        environment={"DJANGO_DB": cluster.url("django"), "DJANGO_SETTINGS_MODULE": "bench_settings",
                     "PYTHONPATH": f"{ROOT}/benches:{ROOT}/tests/django", "REMOTE_FILES": str(state / "htdocs/user")},
    )


def columns(state, cluster, kept, iterations):
    """All of them, from the one that costs nothing to ours."""
    socket = cluster.url("apache")
    cache = "AuthnCacheProvideFor dbd\nAuthnCacheTimeout 86400\n"
    made = [
        Column("none", "no authentication", database=False),
        files(state, kept),
        dbd(cluster, "dbd", "mod_authn_dbd {SHA}", "dbd", "dbd_sha"),
        dbd(cluster, "bcrypt", "mod_authn_socache + dbd bcrypt", "socache dbd", "dbd_bcrypt", cache, kind="hash",
            modules=("authn_socache",)),
        wsgi(cluster),
        view(state, cluster, iterations),
        nginx(state, cluster),
        ours(state, "cold", "this module, cold", iterations, socket, kind="hash", timeout="off"),
        ours(state, "row", "this module, row read", iterations, socket),
    ]
    triggers = ROOT / "apache/authnz_django_watch.sql"
    watched = f"{socket} watch=bench"
    if triggers.exists() and Httpd.accepts(state, f"AuthDjangoDatabase {watched}"):
        cluster.psql("-v", "channel=bench", "-v", "sessions=django_session", "-f", str(triggers))
        made.append(ours(state, "watch", "this module, watch=", iterations, watched, keeps=True))
        made.append(session(state, "session", "this module, a session, watch=", iterations, watched))
    for key, label in (("sqlite", "this module, SQLite"), ("wal", "this module, SQLite in WAL")):
        path = sqlite(state, kept, key == "wal")
        made.append(ours(state, key, label, iterations, f"sqlite:{path}", database=False, keeps=True))
        label = label.replace("SQLite", "a session, SQLite")
        made.append(session(state, f"session-{key}", label, iterations, f"sqlite:{path}", database=False))
    return made
