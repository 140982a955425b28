"""What this module is to reach, and whether it did."""
from measure import has_avx512

MANY = [(rule, who, 64) for rule in ("user", "group") for who in ("one", "crowd")]


def _rates(figures, ours, other, at):
    """The lowest ratio of requests/s among these cells."""
    found = [figures.ratio(("rate", ours, *where), ("rate", other, *where)) for where in at]
    return min((ratio for ratio in found if ratio is not None), default=None)


def _without(ratio):
    """What the same figure is without authentication: nobody can do better."""
    return "" if ratio is None else f" (without authentication: {ratio:,.3g})"


def _cpu(figures, ours):
    """The most CPU time in µs that a request costs more than one without authentication."""
    found = [figures.difference(("cpu", ours, *where), ("cpu", "none", *where)) for where in MANY]
    return max((1e6 * value for value in found if value is not None), default=None)


def _added(figures):
    """What one request adds to one without authentication, in executions of its statement."""
    row, none = (figures.of("rate", key, "user", "one", 1) for key in ("row", "none"))
    return (1 / row - 1 / none) / figures.of("pgbench", "row")


def _calm(figures, key):
    """The p99 of verified users in the storm, of what it may be at most; in every round the logins must progress, and nobody be
    refused."""
    before, during = figures.of("calm", key), figures.of("storm", key)
    if before is None:
        return None
    if 0 in figures.all("logins", key) or any(figures.all("failed", key)):
        return float("inf")
    return during / max(3 * before, before + 0.01)


def _memory(figures):
    return (figures.of("memory", "row") - figures.of("memory", "none")) / 1024


def goals(figures):
    """(what, figure, how it is written, aim, whether more is better)."""
    yield "one first login, against mod_wsgi + Django", figures.ratio(
        ("p50", "wsgi", "user", "one", 1), ("p50", "cold", "user", "one", 1)), "times as fast", 2.8, True
    yield "64 first logins at once, against mod_wsgi + Django", figures.ratio(
        ("first", "wsgi"), ("first", "row")), "times as fast", 7 if has_avx512() else 3.5, True
    for rule, aim in (("user", 1.0), ("group", 1.25)):
        at = [where for where in MANY if where[0] == rule]
        name = f"row read, 64 connections, a {rule}, against mod_authn_dbd {{SHA}}"
        yield f"{name}: requests/s", _rates(figures, "row", "dbd", at), "of its", aim, True
        p99 = [max(figures.ratio(("p99", key, *where), ("p99", "dbd", *where)) for where in at) for key in ("row", "none")]
        yield f"{name}: p99{_without(p99[1])}", p99[0], "of its", 0.1, False
    for key, aim in (("watch", 4), ("wal", 4), ("sqlite", 7)):
        yield f"{key}, 64 connections, against no authentication: requests/s", _rates(
            figures, key, "none", MANY), "of its", 0.9, True
        yield f"{key}, 64 connections: CPU of the children beside no authentication", _cpu(
            figures, key), "µs a request more", aim, False
    yield "row read, one connection, added to no authentication", _added(figures), "times pgbench", 1.4, False
    for key, aim in (("row", 1500), ("watch", 3500)):
        without = _without(_rates(figures, "none", "wsgi", MANY))
        yield f"{key}, 64 connections, against mod_wsgi + Django: requests/s{without}", _rates(
            figures, key, "wsgi", MANY), "times its", aim, True
    yield "private memory of a child beside no authentication", _memory(figures), "MiB more", 3, False
    for key in ("session", "session-sqlite", "session-wal"):
        for other, name, aim in (
            ("none", "no authentication", 0.85), ("view", "a Django view with X-Sendfile", 25),
            ("nginx", "nginx auth_request to Django", 20),
        ):
            at = [("user", "one", 64)]
            without = _without(_rates(figures, "none", other, at)) if other != "none" else ""
            yield f"{key}, 64 connections, against {name}: requests/s{without}", _rates(
                figures, key, other, at), "times its", aim, True
    for key in ("row", "watch", "sqlite", "wal"):
        yield f"{key}, verified users in the storm: p99, and the logins progress", _calm(
            figures, key), "of 3 times or + 10 ms", 1, False


def lines(figures):
    """The table: each line with its figure, its aim, and met or not met."""
    found = ["| | figure | aim | |", "| --- | ---: | ---: | --- |"]
    for what, value, unit, aim, more in goals(figures):
        if value is None:
            found.append(f"| {what} | – | | not measured |")
            continue
        if value == float("inf"):
            found.append(f"| {what} | some failed, or no login was done | | **not met** |")
            continue
        met = value >= aim if more else value <= aim
        bound = "at least" if more else "at most"
        found.append(f"| {what} | {value:,.3g} {unit} | {bound} {aim:,} | {'met' if met else '**not met**'} |")
    return "\n".join(found)
