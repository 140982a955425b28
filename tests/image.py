#!/usr/bin/env python3
"""Runs the services of docker/compose.yaml, each as it is written there, with buildah in place of an engine
and a PostgreSQL of this machine in place of its image; then asks Apache. Called by tests/image.sh, as root."""

import base64
import glob
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from graphlib import TopologicalSorter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker/compose.yaml"
STATE = Path(sys.argv[1])
PATIENCE = 60  # seconds, for whatever starts or stops


def fail(reason):
    sys.exit(f"image: {reason}")


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, **options)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}")
    return done.stdout.strip()


def wait_until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            fail(f"{what}: not within {PATIENCE} s")
        time.sleep(0.1)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Service:
    """A service of the compose file in a container of its own, on this machine's loopback."""

    def __init__(self, name, addresses, environment=None):
        self.name = name
        self.service = SERVICES[name]
        image = f"localhost/{self.service['image']}"
        self.container = run("buildah", "from", "--pull-never", image)
        self.root = Path(run("buildah", "mount", self.container))
        self.config = json.loads(run("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
        self.environment = dict(self.service.get("environment", {}))
        for key, value in self.environment.items():
            for host, address in addresses.items():
                value = re.sub(rf"\b{host}\b", address, value)
            self.environment[key] = value
        self.environment.update(environment or {})
        self.process = None

    def command(self, command, user):
        words = ["buildah", "run", "--user", user]
        for key, value in self.environment.items():
            words += ["--env", f"{key}={value}"]
        for volume in self.service.get("volumes", []):
            source, target, *options = volume.split(":")
            if source in VOLUMES:
                source = STATE / "volumes" / source
                source.mkdir(parents=True, exist_ok=True)
            else:
                source = (COMPOSE.parent / source).resolve(strict=True)
            words += ["--volume", ":".join([str(source), target, *options])]
        return [*words, self.container, "--", *command]

    def once(self, command=None):
        """Runs its command, or another, to the end, and returns what it printed."""
        user = self.service.get("user", self.config["User"])
        return run(*self.command(command or self.service["command"], user))

    def begin(self):
        """Starts the image's own command. Its user owns its output, as runc and crun have it."""
        user, _, group = self.config["User"].partition(":")
        script = (
            'echo $$ >/tmp/main.pid && chown "$0" /proc/self/fd/1 /proc/self/fd/2 && '
            'exec setpriv --reuid "$0" --regid "$1" --clear-groups --no-new-privs --bounding-set=-all -- "${@:2}"'
        )
        command = ["bash", "-c", script, user, group or user, *self.config["Cmd"]]
        self.log = STATE / f"{self.name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command(command, "root"), stdout=log, stderr=log, start_new_session=True
            )

    def healthy(self):
        kind, *command = self.config["Healthcheck"]["Test"]
        command = ["sh", "-c", *command] if kind == "CMD-SHELL" else command
        return subprocess.run(self.command(command, self.config["User"]), stderr=subprocess.DEVNULL).returncode == 0

    def main(self):
        """The pid of the command itself, which buildah has put below some processes of its own."""
        return int((self.root / "tmp/main.pid").read_text())

    def stop(self):
        """Ends it by the image's STOPSIGNAL, which it has to obey."""
        os.kill(self.main(), signal.Signals[self.config.get("StopSignal", "SIGTERM")])
        self.process.wait(PATIENCE)

    def kill(self):
        if self.process and self.process.poll() is None:
            os.kill(self.main(), signal.SIGKILL)
            self.process.wait(PATIENCE)


class Cluster:
    """PostgreSQL as its image makes it: one database, one superuser, and then make_roles.sh."""

    def __init__(self, service, passwords):
        self.bin = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))[-1])
        self.dir = STATE / "postgresql"
        self.port = free_port()
        user = pwd.getpwnam("postgres")
        self.dir.mkdir()
        os.chown(self.dir, user.pw_uid, user.pw_gid)
        environment = service["environment"]
        superuser = environment["POSTGRES_USER"]
        self.run("initdb", "-D", self.dir / "data", "-U", superuser, "--encoding=UTF8", "--locale=C.UTF-8",
                 "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256")
        options = f"-p {self.port} -k {self.dir} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=16MB"
        self.run("pg_ctl", "-D", self.dir / "data", "-l", self.dir / "log", "-w", "-s", "-o", options, "start")
        here = {**os.environ, "PGHOST": str(self.dir), "PGPORT": str(self.port)}
        run(self.bin / "createdb", "-U", superuser, environment["POSTGRES_DB"], env=here)
        mounted = [volume.split(":")[0] for volume in service["volumes"] if "initdb.d" in volume]
        for script in mounted:
            run("sh", COMPOSE.parent / script, env={**here, **environment, "SECRETS": str(passwords)})

    def run(self, program, *words):
        # pg_ctl's server would keep a pipe open.
        with (STATE / "postgresql.out").open("a") as out:
            command = ["runuser", "-u", "postgres", "--", self.bin / program, *words]
            if subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode:
                fail(f"{program}: {Path(out.name).read_text()}")

    def stop(self):
        self.run("pg_ctl", "-D", self.dir / "data", "-m", "immediate", "-s", "stop")


def ask(port, path, credentials=None):
    """Status and content of what Apache answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def expect(port, status, path, credentials=None, content=""):
    got, text = ask(port, path, credentials)
    if got != status or content not in text:
        fail(f"{path} as {(credentials or 'nobody').partition(':')[0]}: {got}, not {status} with {content!r}\n{text}")


def check_compose():
    """What only an engine would find out: names that lead nowhere, and ports that are open to others."""
    stages = re.findall(r"(?m)^FROM \S+ AS (\S+)$", (ROOT / "docker/Containerfile").read_text())
    for name, service in SERVICES.items():
        build = service.get("build")
        if build:
            if (COMPOSE.parent / build["context"]).resolve() != ROOT or not (ROOT / build["dockerfile"]).is_file():
                fail(f"{name}: build does not find the repository or its Containerfile")
            if build.get("target", stages[-1]) not in stages:
                fail(f"{name}: the Containerfile has no stage {build['target']}")
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy" and "healthcheck" not in SERVICES[other]:
                fail(f"{name} waits for the health of {other}, which has no check")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                fail(f"{name} listens to everybody at {port}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source not in VOLUMES and not (COMPOSE.parent / source).exists():
                fail(f"{name}: there is no {source}")


def written(web, since):
    """Files that the server has written outside /tmp: `read_only` would have forbidden them."""
    found = []
    for folder, folders, files in os.walk(web.root):
        folders[:] = [name for name in folders if Path(folder, name) not in (web.root / "tmp", web.root / "proc")]
        for name in files:
            path = Path(folder, name)
            if path.lstat().st_mtime > since and not path.is_symlink():
                found.append(str(path.relative_to(web.root)))
    return found


def main():
    check_compose()
    waits = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    order = list(TopologicalSorter(waits).static_order())
    if order != ["make-secrets", "db", "make-site", "site", "web"]:
        fail(f"the services start in another order than this test's: {order}")
    started = []
    cluster = None
    try:
        maker = Service("make-secrets", {})
        maker.once()
        passwords = {path: path.read_text() for path in (STATE / "volumes").glob("*/*")}
        maker.once()
        if any(path.read_text() != text for path, text in passwords.items()) or len(passwords) != 7:
            fail("the secrets were made anew, or are not seven")

        cluster = Cluster(SERVICES["db"], STATE / "volumes/db-secrets")
        addresses = {"db": "127.0.0.1"}
        port = {"PGPORT": str(cluster.port)}
        printed = Service("make-site", addresses, port).once()
        alice, bob = (re.search(rf"password of {name}: (\S+)", printed)[1] for name in ("alice", "bob"))
        if again := Service("make-site", addresses, port).once():
            fail(f"the site was made twice: {again}")

        site_port, web_port = free_port(), free_port()
        site = Service("site", addresses, {**port, "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{site_port}"})
        started.append(site)
        site.begin()
        addresses = {"db": f"127.0.0.1:{cluster.port}", "site:8000": f"127.0.0.1:{site_port}"}
        web = Service("web", addresses, {"APACHE_LISTEN": f"127.0.0.1:{web_port}"})
        started.append(web)
        if web.healthy():
            fail("the health check finds a server where none is")
        since = time.time()
        web.begin()
        wait_until("Apache answers", web.healthy)

        wait_until("Django answers", lambda: ask(web_port, "/admin/login/")[0] == 200)
        expect(web_port, 200, "/", content="Everybody may read this.")
        for path, content in (("/members/", "an active user"), ("/secret/", "in the group secret-agents")):
            expect(web_port, 401, path)
            expect(web_port, 401, path, f"alice:{bob}")
            expect(web_port, 200, path, f"alice:{alice}", content)
        expect(web_port, 200, "/members/", f"bob:{bob}")
        expect(web_port, 401, "/secret/", f"bob:{bob}")
        expect(web_port, 200, "/admin/", content="Log in | Django site admin")
        expect(web_port, 200, "/static/admin/css/base.css")

        report = web.once(["apache2", "-t", "-D", "DUMP_DJANGO"])
        if "sites: 1, failures: 0" not in report or "no right to write" not in report:
            fail(f"DUMP_DJANGO: {report}")
        uids = Path(f"/proc/{web.main()}/status").read_text()
        if not re.search(r"(?m)^Uid:\t33\t33\t33\t33$", uids) or not re.search(r"(?m)^CapPrm:\t0+$", uids):
            fail(f"Apache has rights that it does not need:\n{uids}")
        if found := written(web, since):
            fail(f"written outside /tmp: {found}")

        web.stop()
        if web.healthy():
            fail("the health check finds a server that is gone")
        log = web.log.read_text()
        if '"GET /secret/ HTTP/1.1" 401' not in log or "AH01631: user bob" not in log:
            fail(f"the access and error log are not in the container's output:\n{log}")
        refused = ("AH01617", "AH01631")  # a wrong password; not in the group
        for line in log.splitlines():
            if re.search(r":(warn|error|crit|alert|emerg)\]", line) and not any(code in line for code in refused):
                fail(f"the error log has a line that nobody expects: {line}")
        for secret in (alice, bob, *passwords.values()):
            if secret.strip() in log + site.log.read_text():
                fail("a password is in a log")
        site.stop()
    finally:
        for service in started:
            service.kill()
            if sys.exc_info()[0]:
                print(f"--- {service.name}\n{service.log.read_text() if service.process else ''}", file=sys.stderr)
        if cluster:
            cluster.stop()
    print("image: built, up, protected, healthy, and stopped")


document = yaml.safe_load(COMPOSE.read_text())
SERVICES, VOLUMES = document["services"], document["volumes"]
main()
