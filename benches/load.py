"""What each column is asked, and how long that takes."""
import collections
import concurrent.futures
import itertools
import multiprocessing
import shutil
import statistics
import subprocess
import time
import urllib.error
import urllib.request

from client import at_once, at_rate, authorization, drive, endless, request
from database import HERE, PASSWORD
from measure import cpu_seconds

# Long enough for 64 first logins, twice, on two cores.
STORM = 5
WARM, SLOW = [f"user{n:04}" for n in range(1000)], [f"slow{n:04}" for n in range(1000)]
# Who log in for the first time, all at once.
FIRST = SLOW[:64]
# Longest for one listing or checkout; what takes longer is said to.
PATIENCE = 300
FLOOD = 16


def wrk(server, path, headers, connections, seconds):
    """Requests a second with so many keep-alive connections, latencies and CPU time for each, in seconds."""
    before = cpu_seconds(server)
    said = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "wrk.lua",
         f"http://127.0.0.1:{server.port}{path}", "--", headers], capture_output=True, text=True,
    )
    used = cpu_seconds(server) - before
    lines = [line.split()[1:] for line in said.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines or lines[0][4] != "0" or lines[0][0] == "0":
        server.fail(f"{path}: {said.stdout}{said.stderr}")
    requests, microseconds, p50, p99 = (int(word) for word in lines[0][:4])
    return {"rate": 1e6 * requests / microseconds, "p50": p50 / 1e6, "p99": p99 / 1e6, "cpu": used / requests}


def hashed(server, path, headers, connections, seconds):
    """The same of what hashes each request: on each connection one at least, and the next ones for so long. Unlike wrk it waits
    for those that are under way in the end, which are a large part of all."""
    end = time.perf_counter() + seconds
    until = itertools.takewhile(lambda counted: counted[0] < connections or time.perf_counter() < end, enumerate(headers))
    return each_once(server, path, (header for _, header in until), connections)


def each_once(server, path, headers, connections, patience=60):
    """The same of one request for each header."""
    before, sent = cpu_seconds(server), itertools.count()
    requests = (request(path, header) for header, _ in zip(headers, sent))
    done = drive(server.port, at_once(requests), connections, patience)
    used, sent = cpu_seconds(server) - before, next(sent)
    answers = collections.Counter(status for *_, status in done)
    if answers != {200: sent}:
        server.fail(f"{path}: {dict(answers)} for {sent} requests")
    latencies = sorted(latency for _, latency, _ in done)
    return {
        "rate": len(done) / done[-1][0], "p50": statistics.median(latencies),
        "p99": latencies[(99 * len(done) - 1) // 100], "cpu": used / len(done), "total": done[-1][0],
    }


def basics(names):
    return [authorization(name, PASSWORD) for name in names]


def warm(server, rule="user"):
    """1,000 users verified, over four connections: what later requests of theirs find."""
    each_once(server, f"/{rule}/file.txt", basics([*WARM, "one"]), 4)


def listing(server):
    """Seconds for one listing of 30 files, None where it takes too long."""
    asked = urllib.request.Request(f"http://127.0.0.1:{server.port}/user/listing/")
    asked.add_header(*basics(["one"])[0].split(": "))
    start = time.perf_counter()
    try:
        text = urllib.request.urlopen(asked, timeout=PATIENCE).read()
    except TimeoutError:
        return None
    except urllib.error.HTTPError as error:
        server.fail(f"the listing: {error}")
    if text.count(b".txt</a>") != 30:
        server.fail(f"the listing: {text}")
    return time.perf_counter() - start


def make_repository(state):
    """A Subversion repository with 200 files."""
    files, repository = state / "import", state / "repository"
    files.mkdir()
    for number in range(200):
        (files / f"{number}.txt").write_text(f"{number}\n" * 50)
    subprocess.run(["svnadmin", "create", repository], check=True)
    command = ["svn", "import", "-q", "-m", "200 files", "--config-dir", state / "subversion", files, f"file://{repository}"]
    subprocess.run(command, check=True)
    for path in (repository, *repository.rglob("*")):
        shutil.chown(path, "www-data")


def checkout(server, state):
    """Seconds for its checkout, None where it takes too long."""
    copy = state / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    command = [
        "svn", "checkout", "-q", "--non-interactive", "--no-auth-cache", "--config-dir", state / "subversion",
        "--username", "one", "--password", PASSWORD, f"http://127.0.0.1:{server.port}/svn", copy,
    ]
    start = time.perf_counter()
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    taken = time.perf_counter() - start
    if said.returncode or len(list(copy.glob("*.txt"))) != 200:
        server.fail(f"svn checkout: {said.stderr}")
    return taken


def _verified(port, names, rate, seconds):
    """The p99 of these verified users, who come at that rate, and how many of them were refused or left without an answer."""
    requests = [request("/user/file.txt", header) for header in basics(names)]
    done = drive(port, at_rate(requests, rate, seconds), 64, seconds + 5)
    served = sorted(latency for _, latency, status in done if status == 200)
    failed = int(rate * seconds) - len(served)
    # These count as the slowest.
    latencies = served + [float(seconds)] * failed
    return latencies[99 * len(latencies) // 100], failed


def _logins(port, seconds):
    done = drive(port, at_once([request("/user/file.txt", header) for header in basics(FIRST)]), len(FIRST), seconds)
    return sum(status == 200 for *_, status in done)


def _flood(port, seconds):
    wrong = endless(lambda number: request("/user/file.txt", authorization(FIRST[number % len(FIRST)], f"wrong {number}")))
    return len(drive(port, wrong, FLOOD, seconds))


def storm(server, names, rate):
    """These verified users come at this rate whatever happens: their p99 before the storm and in it, and how many of them failed.

    The storm is 64 first logins at once, of which so many were done in 5 s, beside 16 connections that try wrong
    passwords without end.
    """
    with concurrent.futures.ProcessPoolExecutor(3, multiprocessing.get_context("fork")) as pool:
        # All begin now: a fork of this process takes long enough to be seen in a p99.
        concurrent.futures.wait([pool.submit(time.sleep, 0.5) for _ in range(3)])
        calm, failed = pool.submit(_verified, server.port, names, rate, 3).result()
        if failed:
            server.fail(f"{failed} requests of verified users failed without a storm")
        logins = pool.submit(_logins, server.port, STORM)
        flood = pool.submit(_flood, server.port, STORM)
        during, failed = pool.submit(_verified, server.port, names, rate, STORM).result()
        return {"calm": calm, "storm": during, "failed": failed, "logins": logins.result(), "flood": flood.result()}
