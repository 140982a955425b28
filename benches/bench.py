"""`make bench`: this module against what an administrator has today, on real Apache, PostgreSQL and Django.

The same file on the same machine, all columns in turn, ROUNDS times (10), CELL seconds (1) for each cell; medians go to
target/bench/bench.md and bench.svg, each round's figures to bench.json. Needs root, as the tests do. While it runs, Linux makes no
scheduling group of each session.
"""
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import load
import measure
import plot
import report
from database import SESSION, Cluster, in_use
from figures import Figures
from httpd import Httpd, make_files
from nginx import Nginx
from sites import ROOT, VENV, columns

CONNECTIONS = (1, 16, 64)
RULES, WHO = ("user", "group"), ("one", "crowd")


def say(text):
    print(f"bench: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Bench:
    """The columns with their servers, and a round of all."""

    def __init__(self, state, cluster, made, figures, seconds):
        self.state, self.cluster, self.columns, self.figures, self.seconds = state, cluster, made, figures, seconds
        self.servers, self.statement = {}, None
        self.slow = {column.key: itertools.cycle(load.basics(load.SLOW)) for column in made}
        self.headers = {"one": load.basics(["one"]), "crowd": load.basics(load.WARM)}
        for who, lines in self.headers.items():
            (state / who).write_text("\n".join(lines) + "\n")
        (state / "session").write_text(f"Cookie: sessionid={SESSION}\n")

    def first(self, column):
        """Memory after 1,000 requests, and queries for each: before anything else is asked of a child."""
        server = self.servers[column.key]
        if column.kind == "browser":
            return
        few = column.kind == "hash"
        for rule in RULES if column.group else RULES[:1]:
            if not few:
                load.warm(server, rule)
            elif rule == RULES[0]:
                load.each_once(server, column.path(rule), load.basics(load.SLOW), 4, patience=600)
            if rule == RULES[0]:
                self.figures.add(0, measure.private_kib(server), "memory", column.key)
        if not column.database:
            return
        for rule in column.rules:
            asked = self.headers["one"] * (2 if few else 100)
            if few:
                # What is asked at the first request alone is not what each costs.
                load.each_once(server, column.path(rule), self.headers["one"], 1)
            logged = self.cluster.logged(lambda: load.each_once(server, column.path(rule), asked, 1))
            self.figures.add(0, len(logged) / len(asked), "queries", column.key, rule)
            if column.key == "row" and rule == "user":
                self.statement = logged[-1]

    def cell(self, number, column, rule, who, connections):
        if column.kind == "browser":
            if who != "one":
                return
            found = load.wrk(self.servers[column.key], column.path(rule), self.state / "session", connections, self.seconds)
        elif column.kind == "hash":
            asked = itertools.cycle(self.headers["one"]) if who == "one" else self.slow[column.key]
            found = load.hashed(self.servers[column.key], column.path(rule), asked, connections, self.seconds)
        else:
            asked = self.servers[column.key], column.path(rule), self.state / who, connections
            if column.keeps and who == "crowd":
                load.wrk(*asked, 1)
            found = load.wrk(*asked, self.seconds)
        for what, value in found.items():
            self.figures.add(number, value, what, column.key, rule, who, connections)

    def in_turn(self, number):
        """Those whose requests/s are compared close together, since the machine's own speed changes within a minute; there and
        back, so that nobody is always the first."""
        quick = [column for column in self.columns if column.kind != "hash"]
        return quick[::-1 if number % 2 else 1] + [column for column in self.columns if column.kind == "hash"]

    def round(self, number):
        for connections, who, rule in itertools.product(CONNECTIONS, WHO, RULES):
            for column in self.in_turn(number):
                if rule in column.rules:
                    self.cell(number, column, rule, who, connections)
            if connections == 1 and who == WHO[0] and rule == RULES[0]:
                self.figures.add(number, self.cluster.pgbench(*self.statement, self.seconds), "pgbench", "row")
        # A column that hashes takes a long time for these: each has a round of its own, mod_wsgi the first.
        slow = sorted((column.key for column in self.columns if column.kind == "hash"), reverse=True)[number:number + 1]
        columns = [column for column in self.columns if column.kind == "file" or column.key in slow]
        say("listings and checkouts")
        self.pages(number, columns)
        say("first logins")
        self.first_logins(number)
        for column in columns:
            if column.key != "none":
                say(f"the storm: {column.label}")
                self.storm(number, column)

    def pages(self, number, columns):
        for column in columns:
            server = self.servers[column.key]
            times = 1 if column.kind == "hash" else 20
            taken = [load.listing(server) for _ in range(times)]
            self.figures.add(number, None if None in taken else sum(taken) / times, "listing", column.key)
            checkout = load.checkout(server, self.state)
            self.figures.add(number, checkout, "checkout", column.key)
            if checkout is None or None in taken:
                # Else it goes on hashing for whoever has left, beside what is measured next.
                server.restart()

    def first_logins(self, number):
        self.begin_anew(self.servers["row"])
        for key in ("row", "wsgi"):
            server = self.servers[key]
            found = load.each_once(server, "/user/file.txt", load.basics(load.FIRST), len(load.FIRST))
            self.figures.add(number, found["total"], "first", key)

    def storm(self, number, column):
        server = self.servers[column.key]
        self.begin_anew(server)
        hashes = column.kind == "hash"
        warms = column.ours and not hashes
        verified = load.SLOW[len(load.FIRST):] if hashes else load.WARM
        if warms:
            load.warm(server)
        rate = self.figures.values["rate", column.key, "user", "crowd", 64][number] / 2
        for what, value in load.storm(server, verified, rate).items():
            self.figures.add(number, value, what, column.key)
        # What is left of the storm goes on hashing.
        self.begin_anew(server)
        if warms:
            for rule in RULES:
                load.warm(server, rule)

    def begin_anew(self, server):
        """A child that has connected, and has seen no password of the others."""
        server.restart()
        load.each_once(server, "/user/file.txt", load.basics(load.SLOW[-4:]), 4)


def main():
    rounds, seconds = int(os.environ.get("ROUNDS", 10)), int(os.environ.get("CELL", 1))
    out = ROOT / "target/bench"
    out.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root, as the tests do")
    # mod_wsgi's Python lies in the venv, and httpd's children are not root.
    if subprocess.run(["runuser", "-u", "www-data", "--", "test", "-x", VENV / "bin/python"]).returncode:
        raise SystemExit(f"bench: www-data cannot reach {VENV}: clone to a directory that every user may enter")
    figures = Figures(rounds)
    # Ended like that, it still stops what it has started, and puts back what it has set.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        stack.enter_context(measure.one_scheduling_group())
        state = pathlib.Path(tempfile.mkdtemp(prefix="authnz-bench-"))
        stack.callback(shutil.rmtree, state)
        state.chmod(0o755)
        shutil.chown(state, "www-data")
        say("makes a site with 2,001 users")
        cluster = Cluster(state)
        stack.callback(cluster.stop)
        django, iterations = cluster.populate(state / "users.json")
        machine = measure.machine(django, iterations, Httpd.program, cluster.sql("SHOW server_version"))
        make_files(state)
        load.make_repository(state)
        bench = Bench(state, cluster, columns(state, cluster, state / "users.json", iterations), figures, seconds)
        for column in bench.columns:
            bench.servers[column.key] = (Nginx if column.key == "nginx" else Httpd)(state, column)
            stack.callback(bench.servers[column.key].stop)
            bench.first(column)
        stack.callback(in_use(state).close)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            bench.round(number)
            # Whoever cannot wait for the last one has those that are done.
            figures.rounds = number + 1
            figures.save(out / "bench.json")
            (out / "bench.md").write_text(report.markdown(bench.columns, figures, machine, out / "pbkdf2.txt"))
            (out / "bench.svg").write_text(plot.svg(bench.columns, figures, machine))
    say(f"wrote {out}/bench.md and bench.svg")


if __name__ == "__main__":
    main()
