"""An Apache of its own for each column: event, one child of 128 threads, the same files and modules in all."""
import os
import pathlib
import signal
import socket
import subprocess
import time

MODULES = "mpm_event authn_core authz_core auth_basic authz_user alias autoindex dav dav_svn socache_shmcb".split()
LISTED = 30
# What httpd and this module say of a directive or a key that they do not know.
UNKNOWN = ("Invalid command", "unknown key")


def apxs(name):
    return subprocess.check_output(["apxs", "-q", name], text=True).strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_files(state):
    """What all of them serve: a file of 1,000 bytes, and a folder to list."""
    for rule in ("user", "group"):
        (state / "htdocs" / rule).mkdir(parents=True)
        (state / "htdocs" / rule / "file.txt").write_text("x" * 1000)
    (state / "htdocs/user/listing").mkdir()
    for number in range(LISTED):
        (state / f"htdocs/user/listing/{number}.txt").write_text("x")


class Httpd:
    """Started when it is made; `restart` begins with a new child that knows nobody."""

    program = f"{apxs('SBINDIR')}/{apxs('PROGNAME')}"
    libexec = apxs("LIBEXECDIR")

    def __init__(self, state, column):
        self.dir, self.port, self.environment = state / f"httpd-{column.key}", free_port(), column.environment
        self.dir.mkdir()
        self.log = self.dir / "error.log"
        self.config = self.dir / "httpd.conf"
        load = "".join(f"LoadModule {name}_module {self.libexec}/mod_{name}.so\n" for name in [*MODULES, *column.modules])
        places = "".join(
            f"<Location {path}>\n{lines}\n</Location>\n"
            for path, lines in (("/user/", column.user), ("/group/", column.group), ("/svn", column.user))
        )
        self.config.write_text(
            f"ServerRoot {self.dir}\nServerName localhost\nListen 127.0.0.1:{self.port}\nPidFile {self.dir}/pid\n"
            f"User www-data\nGroup www-data\nMutex file:{self.dir} default\nErrorLog {self.log}\n{load}"
            "StartServers 1\nServerLimit 1\nThreadLimit 128\nThreadsPerChild 128\nMaxRequestWorkers 128\n"
            "MinSpareThreads 1\nMaxSpareThreads 128\nMaxKeepAliveRequests 0\nKeepAliveTimeout 60\n"
            f"DocumentRoot {state}/htdocs\n<Directory {state}/htdocs>\nOptions Indexes FollowSymLinks\n</Directory>\n"
            f"<Location /svn>\nDAV svn\nSVNPath {state}/repository\n</Location>\n{column.server}\n{places}"
        )
        self.process = None
        self.start()

    @classmethod
    def accepts(cls, state, lines):
        """Whether the module knows these lines: what is not there yet has no column."""
        config = state / "probe.conf"
        load = "".join(f"LoadModule {name}_module {cls.libexec}/mod_{name}.so\n" for name in MODULES[:6])
        config.write_text(
            f"ServerRoot {state}\nServerName localhost\nListen 127.0.0.1:1\nErrorLog {state}/probe.log\n{load}"
            f"LoadModule authnz_django_module {os.environ['MODULE']}\n{lines}\n"
        )
        said = subprocess.run([cls.program, "-t", "-f", config], capture_output=True, text=True)
        if said.returncode and not any(word in said.stderr for word in UNKNOWN):
            raise SystemExit(f"bench: the probe for {lines} fails otherwise:\n{said.stderr}")
        return said.returncode == 0

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "-DFOREGROUND", "-f", self.config], process_group=0, env={**os.environ, **self.environment}
        )
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        self.fail("does not start")

    def fail(self, why):
        log = self.log.read_text() if self.log.exists() else ""
        self.stop()
        raise SystemExit(f"bench: {self.dir.name}: {why}\n{log[-4000:]}")

    def children(self):
        pid = self.process.pid
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def stop(self):
        """Soon: a child that computes hashes would take longer."""
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def restart(self):
        self.stop()
        self.start()
