"""Django as one process that stays, run by a user of its own: JSON lines in, JSON lines out.

    resident.py USER
    {"change": ["active=bob=0", …]}  as change.py does      ->  {"answer": null}
    {"log in": "bob"}                likewise, log_in()     ->  {"answer": [texts]}
    {"sql": "PRAGMA …"}              its first row          ->  {"answer": [values] | null}
    {"close": true}                  the connection         ->  {"answer": null}
    What raises                                             ->  {"error": "OperationalError: …"}

Like uWSGI it loads the site as root and then becomes USER, before it opens the database: the clone may
lie where no other user can read.
"""
import json
import os
import pwd
import sys

from change import change, log_in  # django.setup()
from django.contrib.auth.hashers import get_hashers
from django.db import connection
from django.db.models.sql import compiler  # noqa: F401  Django imports it when it is first needed

get_hashers()
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.umask(0o022)


def answer(question):
    if "change" in question:
        for word in question["change"]:
            change(word)
    elif "log in" in question:
        return log_in(question["log in"])
    elif "sql" in question:
        with connection.cursor() as cursor:
            cursor.execute(question["sql"])
            return cursor.fetchone() if cursor.description else None
    elif "close" in question:
        connection.close()
    else:
        raise SystemExit(f"resident: no such question: {question}")


for line in sys.stdin:
    try:
        reply = {"answer": answer(json.loads(line))}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
