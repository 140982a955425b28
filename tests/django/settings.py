"""The reference project: a Django site as the module meets it, small enough to be made anew for each test.

Told by the environment:
    DJANGO_DB          /path/to/db.sqlite3, postgresql://user:password@host:port/name?host=/socket/directory,
                       or mysql://user:password@host:port/name
    DJANGO_USER_MODEL  auth.User (the default), accounts.User, which logs in with its e-mail address,
                       accounts.Odd, whose tables and columns have names of their own, accounts.Colleague,
                       in two tables, or crm.User, in another schema (PostgreSQL)
    DJANGO_HASHERS     algorithms, the preferred one first, instead of all that this Django has
"""
import os
import urllib.parse

SECRET_KEY = "the reference project has nothing to hide"
USE_TZ = True
# Django sets the time zone of its whole process: under mod_wsgi that is httpd, and its logs.
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = os.environ.get("DJANGO_USER_MODEL", "auth.User")
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
APP = AUTH_USER_MODEL.split(".")[0]
if APP != "auth":
    INSTALLED_APPS.append(APP)

# Tables straight from the models: they are the same, and made in a moment.
MIGRATION_MODULES = {"contenttypes": None, "auth": None, "sessions": None, APP: None}


def database(where):
    if "://" not in where:
        # A test may hold the file locked for a while; Django waits rather than fail.
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": where, "OPTIONS": {"timeout": 30}}
    url = urllib.parse.urlsplit(where)
    query = dict(urllib.parse.parse_qsl(url.query))
    return {
        # Django 3.2 would not have every character by itself.
        "OPTIONS": {"charset": "utf8mb4"} if url.scheme == "mysql" else {},
        "ENGINE": f"django.db.backends.{url.scheme}",
        "NAME": urllib.parse.unquote(url.path.lstrip("/")),
        "USER": urllib.parse.unquote(url.username or ""),
        "PASSWORD": urllib.parse.unquote(url.password or ""),
        "HOST": query.get("host") or url.hostname or "",
        "PORT": str(query.get("port") or url.port or ""),
    }


DATABASES = {"default": database(os.environ["DJANGO_DB"])}

# Django's own hashers with a cost that lets a test ask hundreds of them (cheap.py). Those that newer
# versions have dropped are there in 3.2 and 4.2 alone.
ALGORITHMS = {
    "pbkdf2_sha256": "cheap.PBKDF2",
    "pbkdf2_sha1": "cheap.PBKDF2SHA1",
    "argon2": "cheap.Argon2",
    "bcrypt_sha256": "cheap.BCryptSHA256",
    "bcrypt": "cheap.BCrypt",
    "scrypt": "cheap.Scrypt",
    "md5": "django.contrib.auth.hashers.MD5PasswordHasher",
    "sha1": "django.contrib.auth.hashers.SHA1PasswordHasher",
    "unsalted_sha1": "django.contrib.auth.hashers.UnsaltedSHA1PasswordHasher",
    "unsalted_md5": "django.contrib.auth.hashers.UnsaltedMD5PasswordHasher",
}


def known(path):
    import django

    version = django.VERSION[:2]
    if path == "cheap.Scrypt":
        return version >= (4, 0)
    return version < (5, 1) or not ("SHA1PasswordHasher" in path or "Unsalted" in path)


PASSWORD_HASHERS = [
    ALGORITHMS[name]
    for name in os.environ.get("DJANGO_HASHERS", " ".join(ALGORITHMS)).split()
    if known(ALGORITHMS[name])
]
