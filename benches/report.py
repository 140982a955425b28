"""The tables, in Markdown."""
from load import PATIENCE
from reach import lines

WHO = {"one": "one user", "crowd": "1,000 users in turn"}


def number(value):
    """Three significant digits, thousands apart."""
    if value >= 100:
        digits = len(str(int(value)))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.3g}"


def seconds(value):
    """In the unit that leaves a figure to read."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if value * factor < 1000:
            return f"{number(value * factor)} {unit}"
    return f"{number(value)} s"


def mebibytes(kibibytes):
    return f"{kibibytes / 1024:.1f} MiB"


def cell(figures, key, show, against=None):
    """A median, and in parentheses what it is of the column without authentication."""
    value = figures.of(*key)
    if value is None:
        return f"over {PATIENCE} s" if figures.late(*key) else "–"
    ratio = figures.ratio(key, against) if against and against != key else None
    return show(value) + (f" ({ratio:.2g})" if ratio is not None else "")


def rows(columns, figures):
    """Each row: what, how, and a cell for each column."""
    for who, words in WHO.items():
        for connections in (1, 16, 64):
            for rule in ("user", "group"):
                at = (rule, who, connections)
                for what, label, show in (
                    ("rate", "requests/s", number), ("p50", "p50", seconds), ("p99", "p99", seconds),
                    ("cpu", "CPU of each", seconds),
                ):
                    how = f"{connections} connection{'s' * (connections > 1)}, {words}, {rule}"
                    yield what, f"{label}: {how}", [
                        cell(figures, (what, column.key, *at), show,
                             ("rate", "none", *at) if what == "rate" else None)
                        for column in columns
                    ]
    for rule in ("user", "group"):
        yield "queries", f"queries of each: {rule}", [
            cell(figures, ("queries", column.key, rule), number) for column in columns
        ]
    for what, label, show in (
        ("memory", "private memory of the child", mebibytes),
        ("listing", "a listing of 30 files", seconds), ("checkout", "svn checkout of 200 files", seconds),
        ("first", "64 first logins at once", seconds),
        ("calm", "verified users at half their rate, p99", seconds), ("storm", "the same in the storm", seconds),
        ("failed", "of these, requests that failed", number), ("logins", "first logins of 64 done in the storm", number),
        ("flood", "wrong passwords answered in the storm", number),
    ):
        yield what, label, [cell(figures, (what, column.key), show) for column in columns]


def table(columns, found):
    head = [f"| | {' | '.join(column.label for column in columns)} |", "| --- |" + " ---: |" * len(columns)]
    return "\n".join([*head, *(f"| {label} | {' | '.join(cells)} |" for _, label, cells in found)])


def summary(columns, figures):
    """One line for each column: what a README has room for."""
    found = [
        "| | requests/s, a user | a group | p99 | CPU of each | one connection | queries of each | private memory |",
        "| --- |" + " ---: |" * 7,
    ]
    for column in columns:
        many = [
            cell(figures, (what, column.key, rule, column.who, 64), show, against)
            for what, rule, show, against in (
                ("rate", "user", number, ("rate", "none", "user", column.who, 64)),
                ("rate", "group", number, ("rate", "none", "group", column.who, 64)),
                ("p99", "user", seconds, None), ("cpu", "user", seconds, None),
            )
        ]
        alone = cell(figures, ("rate", column.key, "user", column.who, 1), number, ("rate", "none", "user", column.who, 1))
        asked = "/".join(cell(figures, ("queries", column.key, rule), number) for rule in column.rules)
        memory = cell(figures, ("memory", column.key), mebibytes)
        found.append(f"| {' | '.join([column.label, *many, alone, asked, memory])} |")
    return "\n".join(found)


def hashing(path):
    """The table of `cargo bench --bench pbkdf2`, which ran before."""
    said = path.read_text().splitlines() if path.exists() else []
    found = [line for line in said if line.startswith("| ")]
    head = [line for line in said if "interleaved rounds" in line]
    return "\n".join(["", "## PBKDF2", "", *head, "", *found, ""]) if found else ""


def markdown(columns, figures, machine, pbkdf2):
    found = list(rows(columns, figures))
    main = [row for row in found if row[0] != "p50"]
    pgbench = figures.of("pgbench", "row")
    return f"""\
{machine}; {figures.rounds} round{'s' * (figures.rounds > 1)} in turn, medians.

In parentheses: of the requests/s without authentication. Warm columns have every password verified before. The columns that
compute a hash for each request (mod_authn_socache before bcrypt, mod_wsgi, cold) are asked once on each connection at least; their
listings, checkouts and storms are measured once, and users who come in the storm are hashed, too. The same password of the same
user at the same time is hashed once by this module, so that cold, one user with many connections is not a hash for each. Where
rows are kept, 1,000 users in turn have been asked for in the second before. mod_dbd has a pool of 4 connections, as this
module has. The storm: 64 first logins at once, and 16 connections that try wrong passwords without end; verified
users are sent in whole milliseconds, and their time counts from when they were due. No session, and so no PostgreSQL backend, is a scheduling group of its own, unless autogroups are named above.
pgbench -M prepared, one client, takes {seconds(pgbench)} for the statement of the column with the row read.

Requests/s of one user, but of users in turn where a hash is computed for each, with 64 connections and with one; queries for a
user and for a group:

{summary(columns, figures)}

All of it:

{table(columns, main)}

Half of the requests took at most:

{table(columns, [row for row in found if row[0] == "p50"])}

## Reach

{lines(figures)}
{hashing(pbkdf2)}"""
