"""The site's databases: a PostgreSQL cluster of our own, and the same users in SQLite."""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess

from httpd import free_port

HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "bench secret"
# Of the session of `one`, in all databases.
SESSION = "b" * 32
# httpd's own query for mod_authz_dbd, over Django's tables.
GROUPS = (
    "SELECT g.name FROM auth_group g JOIN auth_user_groups m ON m.group_id = g.id "
    "JOIN auth_user u ON u.id = m.user_id WHERE u.username = %s"
)


def django(program, database, *words):
    """Runs a program of ours in Django's venv, for that database."""
    environment = {
        **os.environ, "DJANGO_DB": database, "DJANGO_SETTINGS_MODULE": "bench_settings", "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{HERE}:{HERE.parent}/tests/django",
    }
    python = pathlib.Path(os.environ["DJANGO_VENV"], "bin/python")
    return subprocess.check_output([python, HERE / program, *words], text=True, env=environment)


class Cluster:
    """PostgreSQL over a unix socket, with the tables of Django and those of mod_authn_dbd."""

    def __init__(self, state):
        self.dir = state / "postgresql"
        self.dir.mkdir()
        shutil.chown(self.dir, "postgres")
        self.port = free_port()
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self._run("initdb", "-D", self.dir / "data", "-U", "django", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        options = (
            f"-p {self.port} -k {self.dir} -c listen_addresses= -c fsync=off -c max_connections=300 -c shared_buffers=64MB"
        )
        self._run("pg_ctl", "-D", self.dir / "data", "-w", "-s", "-l", self.dir / "log", "-o", options, "start")
        try:
            self.sql("CREATE ROLE apache LOGIN", "postgres")
            self.sql("CREATE DATABASE site", "postgres")
        except BaseException:
            self.stop()
            raise

    def _run(self, program, *words):
        subprocess.run(
            ["runuser", "-u", "postgres", "--", self.bin / program, *words], check=True, cwd="/", stdout=subprocess.DEVNULL
        )

    def psql(self, *words, database="site"):
        command = [self.bin / "psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "django", "-h", self.dir]
        return subprocess.check_output([*command, "-p", str(self.port), "-d", database, *words], text=True, cwd="/")

    def sql(self, text, database="site"):
        return self.psql("-c", text, database=database)

    def url(self, user, scheme="postgresql"):
        return f"{scheme}://{user}@/site?host={self.dir}&port={self.port}"

    def populate(self, kept):
        """Django's version and iterations."""
        made = django("populate.py", self.url("django"), kept, PASSWORD, SESSION).split()
        sha = "{SHA}" + base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        bcrypt = subprocess.check_output(["htpasswd", "-nbBC", "12", "x", PASSWORD], text=True).split(":")[1].strip()
        for name, encoded in (("dbd_sha", sha), ("dbd_bcrypt", bcrypt)):
            self.sql(
                f"CREATE TABLE {name} (username text PRIMARY KEY, password text NOT NULL);"
                f"INSERT INTO {name} SELECT username, '{encoded}' FROM auth_user"
            )
        self.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO apache")
        self.sql("VACUUM ANALYZE")
        return made

    def logged(self, work):
        """What clients ask while `work` runs: of each statement its text and its parameters, by the server's own log."""
        def log(what):
            self.sql(f"ALTER SYSTEM SET log_statement = '{what}'", "postgres")
            self.sql("SELECT pg_reload_conf(), pg_sleep(0.2)", "postgres")

        log("all")
        start = (self.dir / "log").stat().st_size
        work()
        with open(self.dir / "log", encoding="utf-8") as file:
            file.seek(start)
            text = file.read()
        log("none")
        found = []
        for entry in re.split(r"^(?=\S)", text, flags=re.M):
            said = re.match(r"[^\n]*?(LOG|DETAIL):  (?:(statement|execute [^:]*|parameters): )(.*)", entry, re.S)
            if said and said[1] == "LOG":
                found.append((said[3].replace("\n\t", "\n").strip(), {}))
            elif said and found:
                found[-1][1].update(re.findall(r"\$(\d+) = '([^']*)'", said[3]))
        return found

    def pgbench(self, statement, parameters, seconds):
        """Seconds for one execution of the statement by one client, prepared."""
        script = self.dir / "statement.sql"
        script.write_text(re.sub(r"\$(\d+)", r":p\1", " ".join(statement.split())) + ";\n")
        variables = [word for number, value in parameters.items() for word in ("-D", f"p{number}={value}")]
        said = subprocess.check_output(
            [self.bin / "pgbench", "-n", "-M", "prepared", "-c", "1", "-T", str(seconds), "-f", script, *variables,
             "-h", self.dir, "-p", str(self.port), "-U", "apache", "site"],
            text=True, stderr=subprocess.STDOUT, cwd="/",
        )
        return float(re.search(r"latency average = ([\d.]+) ms", said)[1]) / 1000

    def stop(self):
        self._run("pg_ctl", "-D", self.dir / "data", "-w", "-s", "-m", "immediate", "stop")


def sqlite(state, kept, wal):
    """A SQLite file of httpd's user, with the same rows."""
    folder = state / ("wal" if wal else "sqlite")
    folder.mkdir()
    path = folder / "db.sqlite3"
    django("populate.py", str(path), kept, PASSWORD, SESSION)
    if wal:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = wal")
        connection.close()
    for made in (folder, *folder.iterdir()):
        shutil.chown(made, "www-data")
    return path


def in_use(state):
    """A connection as that of a site that somebody uses, to the file in WAL: something is written, and it stays open."""
    connection = sqlite3.connect(state / "wal/db.sqlite3")
    connection.execute("UPDATE auth_user SET last_login = CURRENT_TIMESTAMP WHERE username = 'one'")
    connection.commit()
    return connection


def names(kept):
    return [name for name, _ in json.loads(kept.read_text())]
