#!/usr/bin/env python3
"""Writes vectors.json: hashes made by real Djangos, and what their check_password says of them.

    target/venv/bin/python tests/django/make_vectors.py target > tests/django/vectors.json

Django 5.2 is the venv's; 3.2, 4.2 and 6 are wheels unpacked into target/django-VERSION.
"""

import json
import os
import subprocess
import sys

PASSWORDS = ["", "secret", "lètmein", "パスワード 🔑", "x" * 200, "\"it's\" <a&b> \\ %s $ "]


def vectors():
    import django
    from argon2.low_level import Type, hash_secret
    from hasher_oracle import configure

    algorithms = configure()
    from django.contrib.auth.hashers import check_password, get_hasher, make_password

    def vector(algorithm, password, encoded):
        try:
            expected = check_password(password, encoded)
        except Exception:
            expected = False
        return {
            "django": django.__version__,
            "algorithm": algorithm,
            "password": password,
            "encoded": encoded,
            "expected": expected,
        }

    # All of them once, and what differs between releases by a few.
    reference = django.VERSION[:2] == (5, 2)
    for algorithm in algorithms:
        for password in PASSWORDS if reference or "sha1" in algorithm else PASSWORDS[:4]:
            # Not the 72 bytes of plain bcrypt, where the libraries differ.
            if algorithm == "bcrypt" and len(password.encode()) > 72:
                continue
            salt = get_hasher(algorithm).salt()
            if algorithm not in ("bcrypt", "bcrypt_sha256") and salt:
                salt = "abcdefghijklmnopqrstuv"
            encoded = make_password(password, salt or None, algorithm)
            yield vector(algorithm, password, encoded)
        yield vector(algorithm, "Secret", make_password("secret", hasher=algorithm))
        if algorithm == "unsalted_md5":
            yield vector(algorithm, "secret", "md5$$" + make_password("secret", hasher=algorithm))
    for variety in Type if reference else ():
        for version in (16, 19):
            for memory, lanes in ((64, 1), (67, 2)):
                encoded = "argon2" + hash_secret(
                    b"secret", b"saltsaltsalt", 2, memory, lanes, 24, variety, version
                ).decode()
                yield vector("argon2", "secret", encoded)
                if version == 16:
                    yield vector("argon2", "secret", encoded.replace("$v=16", ""))


def main():
    if len(sys.argv) == 1:
        print(json.dumps(list(vectors())))
        return
    target = os.path.abspath(sys.argv[1])
    found = []
    for version in ("3.2", "4.2", "5.2", "6"):
        path = [] if version == "5.2" else [os.path.join(target, "django-" + version)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        run = subprocess.run(
            [sys.executable, "-W", "ignore", __file__], env=environ, stdout=subprocess.PIPE, check=True
        )
        found += json.loads(run.stdout)
    lines = ",\n".join(json.dumps(vector) for vector in found)
    print("[\n" + lines + "\n]")


if __name__ == "__main__":
    main()
