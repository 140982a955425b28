"""The reference project with Django's own default hasher, as mod_wsgi asks it for `make bench`."""
from remote_settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
DATABASES["default"]["CONN_MAX_AGE"] = None  # noqa: F405
