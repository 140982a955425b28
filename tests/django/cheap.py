"""Django's hashers at a cost that suits tests. Only the cost differs; every line of hashing is Django's."""
from django.contrib.auth import hashers


class PBKDF2(hashers.PBKDF2PasswordHasher):
    iterations = 1000


class PBKDF2SHA1(hashers.PBKDF2SHA1PasswordHasher):
    iterations = 1000


class Argon2(hashers.Argon2PasswordHasher):
    time_cost = 1
    memory_cost = 256
    parallelism = 2


class BCryptSHA256(hashers.BCryptSHA256PasswordHasher):
    rounds = 4


class BCrypt(hashers.BCryptPasswordHasher):
    rounds = 4


if hasattr(hashers, "ScryptPasswordHasher"):

    class Scrypt(hashers.ScryptPasswordHasher):
        work_factor = 2**10
