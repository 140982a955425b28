"""nginx that asks Django about each request, with gunicorn between: the same interface as `Httpd`."""
import os
import pathlib
import signal
import socket
import subprocess
import time

from httpd import Httpd, free_port


class Nginx(Httpd):
    """As many workers as cores, and as many of gunicorn's with four threads each; connections are kept on both sides."""

    def __init__(self, state, column):
        self.dir, self.port, self.environment = state / f"httpd-{column.key}", free_port(), column.environment
        self.dir.mkdir()
        self.log, self.django, self.processes = self.dir / "error.log", free_port(), []
        (self.dir / "nginx.conf").write_text(f"""\
daemon off; worker_processes auto; user www-data; pid {self.dir}/pid; error_log {self.log};
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; default_type text/plain; keepalive_requests 100000000;
    client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy; fastcgi_temp_path {self.dir}/fastcgi;
    uwsgi_temp_path {self.dir}/uwsgi; scgi_temp_path {self.dir}/scgi;
    upstream django {{ server 127.0.0.1:{self.django}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{self.port}; root {state}/htdocs;
        location /user/ {{ auth_request /auth; }}
        location = /auth {{
            internal; proxy_pass http://django/may/; proxy_pass_request_body off; proxy_http_version 1.1;
            proxy_set_header Content-Length ""; proxy_set_header Connection ""; proxy_set_header Host localhost;
        }}
    }}
}}
""")
        self.start()

    def start(self):
        python = pathlib.Path(os.environ["DJANGO_VENV"], "bin/python")
        with open(self.log, "a", encoding="utf-8") as log:
            for command in (
                [python, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.django}", "--workers", str(os.cpu_count()),
                 "--threads", "4", "--keep-alive", "60", "--user", "www-data", "--group", "www-data", "remote_wsgi:application"],
                ["nginx", "-c", self.dir / "nginx.conf", "-e", self.log],
            ):
                self.processes.append(subprocess.Popen(
                    command, process_group=0, env={**os.environ, **self.environment}, stdout=log, stderr=log, cwd=self.dir
                ))
        for port in (self.django, self.port):
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    if any(process.poll() is not None for process in self.processes):
                        self.fail("does not start")
                    time.sleep(0.05)
            else:
                self.fail("does not start")

    def children(self):
        """Of both: a request costs the time of each."""
        lists = (pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split() for p in self.processes)
        return [child for found in lists for child in found]

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self.processes = []
