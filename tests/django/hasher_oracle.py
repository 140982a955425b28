#!/usr/bin/env python3
"""Asks the Django on PYTHONPATH: hashes of every hasher it knows, right, wrong and mutated.

    hasher_oracle.py SEED ROUNDS

The first line lists the algorithms, each other line is one case and what check_password says. An
exception counts as "not accepted", as it does for the one who wants to log in.
"""

import inspect
import json
import random
import re
import sys

# Costs of this test only; what a hash costs changes nothing in how it is read.
CHEAP = {
    "PBKDF2PasswordHasher": {"iterations": 7},
    "PBKDF2SHA1PasswordHasher": {"iterations": 11},
    "Argon2PasswordHasher": {"time_cost": 1, "memory_cost": 16, "parallelism": 1},
    "BCryptSHA256PasswordHasher": {"rounds": 4},
    "BCryptPasswordHasher": {"rounds": 4},
    "ScryptPasswordHasher": {"work_factor": 16, "block_size": 2, "parallelism": 3},
    "MD5PasswordHasher": {},
    "SHA1PasswordHasher": {},
    "UnsaltedSHA1PasswordHasher": {},
    "UnsaltedMD5PasswordHasher": {},
}


def configure():
    """Sets Django up with every hasher it knows, made cheap; returns their algorithms."""
    # Django 6 asks for Python 3.12, but its hashers lack only this in 3.11.
    if not hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction = lambda function: function
    from django.conf import settings

    settings.configure()
    from django.contrib.auth import hashers

    paths = []
    for name, cost in CHEAP.items():
        if hasattr(hashers, name):
            # A subclass for each, because PBKDF2SHA1 inherits from PBKDF2.
            globals()[name] = type(name, (getattr(hashers, name),), cost)
            globals()[name].__module__ = __name__
            sys.modules.setdefault(__name__, sys.modules["__main__"])
            paths.append(f"{__name__}.{name}")
    settings.PASSWORD_HASHERS = paths
    return [hasher.algorithm for hasher in hashers.get_hashers()]


ALPHABETS = ["abcXYZ019", "$!:=,+/ ", "éßπ語🔑\u0301", "\"'\\%\t\n"]


def random_password(rng):
    kind = rng.randrange(10)
    if kind == 0:
        return ""
    length = rng.choice([1, 2, 8, 20, 71, 72, 73, 200]) if kind > 1 else rng.randrange(64, 1500)
    alphabet = "".join(rng.sample(ALPHABETS, rng.randint(1, len(ALPHABETS))))
    password = "".join(rng.choice(alphabet) for _ in range(length))
    return password + "\0" if kind == 2 else password


def other_password(rng, password):
    """Not the same, but near."""
    kind = rng.randrange(5)
    if kind == 0:
        return password + " "
    if kind == 1:
        return password.swapcase() + ("x" if password.swapcase() == password else "")
    if kind == 2 and password:
        return password[:-1]
    if kind == 3:
        return "x" + password
    return random_password(rng)


def mutate(rng, encoded):
    """One change that Django may or may not forgive."""
    fields = encoded.split("$")
    place = rng.randrange(len(fields))
    at = rng.randrange(len(encoded))
    kind = rng.randrange(15)
    if kind == 0:  # another character
        return encoded[:at] + rng.choice("0123456789abcXYZ+/=.,$- ") + encoded[at + 1 :]
    if kind == 1:  # another digit
        digits = [match.start() for match in re.finditer("[0-9]", encoded)]
        at = rng.choice(digits)
        return encoded[:at] + rng.choice("0123456789") + encoded[at + 1 :]
    if kind == 2:
        return encoded[:at]
    if kind == 3:
        return encoded[:at] + encoded[at + 1 :]
    if kind == 4:
        return encoded[:at] + rng.choice(" \t\n\0é$=") + encoded[at:]
    if kind == 5:  # swapped fields
        other = rng.randrange(len(fields))
        fields[place], fields[other] = fields[other], fields[place]
    elif kind == 6:  # the number written otherwise
        numbers = [index for index, field in enumerate(fields) if field.isdigit()] or [place]
        place = rng.choice(numbers)
        fields[place] = rng.choice(["0", "+", " ", "00", "0_"]) + fields[place]
    elif kind == 7:
        numbers = [index for index, field in enumerate(fields) if field.isdigit()] or [place]
        place = rng.choice(numbers)
        fields[place] = "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in fields[place])
    elif kind == 8:
        del fields[place]
    elif kind == 9:
        fields.insert(place, rng.choice(["", "x", fields[place]]))
    elif kind == 10:
        return rng.choice(["", " ", "\n", "$", "!", "x"]).join(["", encoded])
    elif kind == 11:
        return encoded + rng.choice([" ", "\n", "$", "=", "==", "x", "\0"])
    elif kind == 12:
        return encoded.rstrip("=") if encoded.endswith("=") else encoded + "="
    elif kind == 13:
        return rng.choice([encoded.upper(), encoded.lower(), encoded.replace("+", "-").replace("/", "_")])
    elif kind == 14:  # words that mean almost the same
        for old, new in rng.sample(
            [("$2b$", "$2a$"), ("$2b$", "$2y$"), ("$2b$", "$2$"), ("$v=19", ""), ("$v=19", "$v=16")]
            + [("argon2id", "argon2i"), ("m=16,t=1", "t=1,m=16"), ("p=1", "p=01"), ("t=1", "t=+1")]
            + [("sha256", "sha1"), ("md5$", "md5$$"), ("sha1$", "sha1$$"), ("_sha256", "")],
            13,
        ):
            if old in encoded:
                return encoded.replace(old, new, 1)
    return "$".join(fields)


def cheap(encoded):
    """Whether Django would answer soon: it has no caps, and a mutation may ask for anything."""
    most = 8 if encoded.startswith("bcrypt") else 5000
    return all(number <= most for number in numbers_of(encoded))


def numbers_of(encoded):
    """What may be read as a work factor: the fields that are numbers, and what follows `=`."""
    for field in encoded.split("$")[1:]:
        try:
            yield int(field)
        except ValueError:
            for number in re.findall(r"=\s*\+?(\d+)", field):
                yield int(number)


def main():
    rng = random.Random(int(sys.argv[1]))
    rounds = int(sys.argv[2])
    algorithms = configure()
    import django
    from django.contrib.auth.hashers import check_password, make_password

    print(json.dumps({"django": django.__version__, "algorithms": algorithms}))

    def ask(password, encoded):
        if not cheap(encoded):
            return
        try:
            accepted = bool(check_password(password, encoded))
        except Exception:
            accepted = False
        print(json.dumps({"password": password, "encoded": encoded, "accepted": accepted}))

    for algorithm in algorithms:
        for _ in range(rounds):
            password = random_password(rng)
            try:
                encoded = make_password(password, hasher=algorithm)
            except ValueError:  # bcrypt 5 hashes nothing of more than 72 bytes
                continue
            ask(password, encoded)
            ask(other_password(rng, password), encoded)
            for _ in range(6):
                ask(password, mutate(rng, encoded))
    for encoded in ["", "!", "!x", "$", "x", "md5", "0" * 32, "md5$$" + "0" * 32, "é" * 32]:
        ask("", encoded)
        ask("secret", encoded)


if __name__ == "__main__":
    main()
