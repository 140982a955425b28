"""Servers that figures are taken from: an Apache of its own each, with one child of the event MPM."""
import base64
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

here = pathlib.Path(__file__).resolve().parent
venv = pathlib.Path(os.environ["DJANGO_VENV"]).resolve()


def apxs(name):
    return subprocess.check_output(["apxs", "-q", name], text=True).strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def new_state():
    """A directory that httpd's children may write; mod_wsgi's Python lies in the venv, and they are not root."""
    if subprocess.run(["runuser", "-u", "www-data", "--", "test", "-x", venv / "bin/python"]).returncode:
        raise SystemExit(f"figures: www-data cannot reach {venv}: clone to a directory that every user may enter")
    state = pathlib.Path(tempfile.mkdtemp(prefix="authnz-figures-"))
    state.chmod(0o755)
    shutil.chown(state, "www-data")
    return state


class Httpd:
    """An event MPM with one child, so that there is one memory to look at."""

    def __init__(self, state, name, modules, lines, environment=()):
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
        self.process = subprocess.Popen(
            [program, "-DFOREGROUND", "-f", self.dir / "httpd.conf"], process_group=0, env={**os.environ, **dict(environment)}
        )
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
