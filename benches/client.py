"""A client of our own for what wrk cannot do: each request once, at a given rate (open loop), or a flood."""
import base64
import re
import select
import socket
import time

LENGTH = re.compile(rb"^content-length: (\d+)", re.I | re.M)


def authorization(name, password):
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def request(path, header):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode()


class Line:
    """One connection, kept as long as the server keeps it."""

    def __init__(self, port, poll, lines):
        self.port, self.poll, self.lines = port, poll, lines
        self.socket, self.since, self.got, self.text, self.fresh = None, 0.0, b"", b"", True

    def send(self, text, since):
        self.text, self.since, self.got, self.fresh = text, since, b"", self.socket is None
        if self.fresh:
            self.socket = socket.create_connection(("127.0.0.1", self.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.lines[self.socket.fileno()] = self
            self.poll.register(self.socket, select.EPOLLIN)
        try:
            self.socket.sendall(text)
        except OSError:
            self.close()
            self.send(text, since)

    def receive(self):
        """The status once the answer is whole, 0 for a connection that broke."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            if self.got or self.fresh:
                return 0
            # A busy httpd closes kept connections; all clients ask again then.
            self.send(self.text, self.since)
            return None
        self.got += data
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end or len(body) < int(LENGTH.search(head)[1]):
            return None
        if b"Connection: close" in head:
            self.close()
        return int(head[9:12])

    def close(self):
        if self.socket is not None:
            del self.lines[self.socket.fileno()]
            self.socket.close()
            self.socket = None


def drive(port, source, connections, seconds=60):
    """Sends what `source` yields as (due, request), on so many connections; [(done, latency, status)].

    A request waits for a free connection, and its latency counts from when it was due: a slow answer delays nobody's clock.
    """
    poll, by_file = select.epoll(), {}
    lines = [Line(port, poll, by_file) for _ in range(connections)]
    idle, busy, done = list(lines), set(), []
    start = time.perf_counter()
    upcoming = next(source, None)
    while upcoming or busy:
        now = time.perf_counter()
        if now - start > seconds:
            break
        while idle and upcoming and upcoming[0] <= now:
            line = idle.pop()
            line.send(upcoming[1], upcoming[0] or now)
            busy.add(line)
            upcoming = next(source, None)
        wait = max(0.0, upcoming[0] - now) if idle and upcoming else 0.5
        # In whole milliseconds: what is due within one is sent together, at half of the CPU time.
        for ready, _ in poll.poll(wait):
            line = by_file[ready]
            if line not in busy:
                # The server ends a connection that nobody uses.
                line.close()
                continue
            status = line.receive()
            if status is not None:
                now = time.perf_counter()
                done.append((now - start, now - line.since, status))
                busy.remove(line)
                idle.append(line)
    for line in lines:
        line.close()
    poll.close()
    return done


def at_once(requests):
    """All of them as soon as there is a connection."""
    return ((0.0, text) for text in requests)


def at_rate(requests, rate, seconds):
    """In turn, evenly spaced, whatever the answers do."""
    start = time.perf_counter()
    return ((start + number / rate, requests[number % len(requests)]) for number in range(int(rate * seconds)))


def endless(make):
    """One after the other, each made anew."""
    number = 0
    while True:
        yield 0.0, make(number)
        number += 1
