#!/usr/bin/env python3
"""Prints the configuration of mod_authnz_django for a Django project, from its settings and models.

In the project's directory, with the project's Python (3.8 or newer, Django 3.2 to 6.x), either of

    python django_export.py --settings mysite.settings
    python manage.py shell -v 0 < django_export.py

The second takes its options from the environment: DJANGO_EXPORT_DATABASE, DJANGO_EXPORT_OUTPUT.
Standard output is configuration for httpd, standard error says what to look at. Passwords go to
files with mode 0600 and nowhere else. Exit status 1: something could not be expressed, and the
directives are printed as comments, because with half of them somebody else might get in.
"""
import argparse
import configparser
import contextlib
import os
import re
import shlex
import sys
import tempfile
from urllib.parse import parse_qs, quote, unquote, urlsplit

# What follows the preferred hasher in AuthDjangoPasswordHashers; the keys are all that the module knows.
COSTS = {
    "pbkdf2_sha256": ":{0.iterations}",
    "pbkdf2_sha1": ":{0.iterations}",
    "argon2": ":t={0.time_cost},m={0.memory_cost},p={0.parallelism}",
    "bcrypt_sha256": ":{0.rounds}",
    "bcrypt": ":{0.rounds}",
    "scrypt": ":n={0.work_factor},r={0.block_size},p={0.parallelism}",
    **dict.fromkeys(["md5", "sha1", "unsalted_md5", "unsalted_sha1"], ""),
}
SSL = ["sslmode", "sslrootcert", "sslcert", "sslkey"]
LIBPQ = SSL + (
    "hostaddr options connect_timeout tcp_user_timeout keepalives keepalives_idle keepalives_interval "
    "keepalives_count target_session_attrs channel_binding load_balance_hosts sslnegotiation"
).split()
LIBPQ_VALUES = {
    "sslmode": {"allow": "prefer"},
    "target_session_attrs": {"primary": "read-write", "standby": "read-only", "prefer-standby": "any"},
}
MYSQL_SSL_MODES = {
    "DISABLED": "disable", "PREFERRED": "prefer", "REQUIRED": "require",
    "VERIFY_CA": "verify-ca", "VERIFY_IDENTITY": "verify-full",
}
MYSQL_FILE = {
    "user": "user", "password": "password", "host": "host", "port": "port", "socket": "unix_socket",
    "database": "database", "ssl-mode": "ssl_mode", "ssl-ca": "ssl_ca", "ssl-cert": "ssl_cert", "ssl-key": "ssl_key",
}
# OPTIONS that the URL carries, or that make no difference to a login; and what to say of some others.
CARRIED = set(LIBPQ) | set(
    "dbname database db user password passwd host port unix_socket ssl ssl_mode ssl_ca ssl_cert ssl_key ssl_disabled "
    "ssl_verify_cert ssl_verify_identity read_default_file read_default_group application_name client_encoding charset "
    "collation cursor_factory init_command isolation_level server_side_binding sql_mode use_unicode".split()
)
LEFT_OUT = {
    "assume_role": "grant its rights to the user itself, or add options=-c%20role%3DNAME to the URL",
    "passfile": "write the password to a file and name it by AuthDjangoDatabasePassword",
    "pool": "the module has a pool of its own, see max=",
    "sslpassword": "store the key without a passphrase",
}
EXAMPLE = [
    '#<Location "/secret">',
    "#    AuthType Basic",
    '#    AuthName "Top Secret"',
    "#    AuthBasicProvider django",
    "#    AuthzSendForbiddenOnFailure On",
    '#    Require group "the name of a group"',
    "#</Location>",
]
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
# Prints a key and nothing else, whatever the settings print.
PRINT_KEY = (
    "import sys; out, sys.stdout = sys.stdout, sys.stderr; "
    "from django.conf import settings; print(settings.{}, file=out)"
)


class Unsupported(Exception):
    """What today's directives cannot say, and why."""


class Remarks(list):
    """Comments for the configuration, which the terminal gets too."""

    def add(self, text):
        self.append(text)
        tell(text)


def tell(text):
    print(f"django_export: {text}", file=sys.stderr)


def comment(text, mark="# "):
    text = re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", text)
    # A backslash at its end would make the next line a comment too.
    return mark + text + (" " if text.endswith("\\") else "")


def word(text):
    """One word of a directive, as httpd reads it."""
    if re.search(r"[\x00-\x1f\x7f]|\$\{", text):
        raise Unsupported(f"httpd cannot read {text!r}")
    if re.fullmatch(r"[\w.,:=/@%+~?&\[\]-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def encoded(text, safe=""):
    try:
        return quote(str(text), safe=safe, errors="strict")
    except UnicodeEncodeError:
        raise Unsupported(f"{text!r} is not UTF-8") from None


def url(scheme, user, hosts, name, query):
    user = encoded(user) + "@" if user else ""
    query = "&".join(f"{key}={encoded(value, '/,:')}" for key, value in query.items())
    return f"{scheme}://{user}{hosts}/{encoded(name)}" + ("?" + query if query else "")


def place(host, port):
    host = f"[{encoded(host, ':')}]" if ":" in host else encoded(host)
    return f"{host}:{encoded(port)}" if port else host


def tls_files(query):
    if ("sslcert" in query) != ("sslkey" in query):
        raise Unsupported("sslcert and sslkey need each other")
    for key in query.keys() & {"sslrootcert", "sslcert", "sslkey"}:
        if query[key] != "system":
            query[key] = os.path.abspath(os.path.expanduser(query[key]))


def sqlite_url(params, remarks):
    name = os.fspath(params["database"])
    if name.startswith("file:"):
        parts = urlsplit(name)
        memory = parse_qs(parts.query).get("mode") == ["memory"]
        name = ":memory:" if memory else unquote(parts.path)
    if not name or name.startswith(":memory:"):
        raise Unsupported("the database is in the memory of Django's process, where httpd cannot see it")
    # Not realpath: where a link leads may change with the next release of the site.
    path = "/" + os.path.abspath(name).lstrip("/")
    if not os.path.isfile(path):
        remarks.add(f"there is no file {path} yet")
    return "sqlite:" + encoded(path, "/")


def postgresql_url(params, remarks):
    if params.get("service"):
        raise Unsupported("OPTIONS 'service': what the service file says must be in the URL, see README.md")
    # Where Django says nothing, libpq asks the environment.
    for key in ["host", "port", "user", "password"] + SSL:
        variable = "PG" + key.upper()
        if not params.get(key) and os.environ.get(variable):
            remarks.add(f"{key} is that of the environment, {variable}: does Django run with it too?")
            params[key] = os.environ[variable]
    query = {key: str(params[key]) for key in LIBPQ if params.get(key) not in (None, "")}
    for key, values in LIBPQ_VALUES.items():
        if key in query:
            query[key] = values.get(query[key], query[key])
    authority = os.path.expanduser("~/.postgresql/root.crt")
    if "sslrootcert" not in query and os.path.exists(authority) and query.get("sslmode", "").startswith("verify"):
        query["sslrootcert"] = authority
    tls_files(query)
    hosts = [host for host in str(params.get("host") or "").split(",") if host]
    ports = str(params.get("port") or "").split(",")
    at = ""
    if not hosts or any(host.startswith("/") for host in hosts):
        query = {**{key: params[key] for key in ("host", "port") if params.get(key)}, **query}
        if not params.get("password") and "hostaddr" not in query:
            remarks.add("a unix socket and no password: if that is peer authentication, the role must have the name "
                        "of httpd's user, see README.md")
    else:
        ports = ports * len(hosts) if len(ports) == 1 else ports
        if len(ports) != len(hosts):
            raise Unsupported("HOST and PORT name different numbers of servers")
        at = ",".join(place(*pair) for pair in zip(hosts, ports))
        if not params.get("password"):
            remarks.add("the settings hold no password of the database")
    if not params.get("user"):
        remarks.add("the settings name no USER: Django connects as the user that it runs as, and httpd runs as another")
    return url("postgresql", params.get("user"), at, params.get("dbname", params.get("database")), query)


def mysql_file(path, group, remarks):
    """What a read_default_file says to MySQL's client, by the names of OPTIONS."""
    parser = configparser.RawConfigParser(
        allow_no_value=True, strict=False, delimiters="=", comment_prefixes="#;", empty_lines_in_values=False
    )
    found = {}
    with open(os.path.expanduser(path), encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    try:
        if any(line.startswith("!") for line in lines):
            raise ValueError
        parser.read_string("\n".join(lines))
        for section in ("client", group or "client"):
            for key, value in parser.items(section) if parser.has_section(section) else ():
                key, value = key.replace("_", "-"), re.sub(r"^(['\"])(.*)\1$", r"\2", value or "")
                if key in MYSQL_FILE:
                    if re.search(r"\\| #", value):
                        raise ValueError
                    found[MYSQL_FILE[key]] = value
                elif key.startswith("ssl"):
                    remarks.add(f"{key!r} in {path} is left out: write sslmode= by hand")
    # The words of the parser would quote the file.
    except (configparser.Error, ValueError):
        raise Unsupported(f"{path} cannot be read here: write what it says into the settings") from None
    return found


def mysql_url(params, remarks):
    query, ssl = {}, params.get("ssl")
    ssl = dict(ssl) if isinstance(ssl, dict) else {}
    ssl.update((key, params[f"ssl_{key}"]) for key in ("ca", "cert", "key") if params.get(f"ssl_{key}"))
    if ssl.get("capath"):
        raise Unsupported("OPTIONS 'ssl': the module reads a file of authorities (ca), and no capath")
    mode = str(params.get("ssl_mode") or "").upper()
    if mode and mode not in MYSQL_SSL_MODES:
        raise Unsupported(f"OPTIONS 'ssl_mode': {mode!r} is none of {', '.join(MYSQL_SSL_MODES)}")
    # A client that is told an authority checks by it; one that is told anything wants TLS.
    modes = [
        ("disable", params.get("ssl_disabled")),
        (MYSQL_SSL_MODES.get(mode), mode),
        ("verify-full", params.get("ssl_verify_identity") or ssl.get("check_hostname")),
        ("verify-ca", ssl.get("ca")),
        ("require", ssl or params.get("ssl") or params.get("ssl_verify_cert")),
    ]
    mode = next((mode for mode, wanted in modes if wanted), None)
    pairs = {"sslmode": mode, "sslrootcert": ssl.get("ca"), "sslcert": ssl.get("cert"), "sslkey": ssl.get("key")}
    query.update((key, str(value)) for key, value in pairs.items() if value)
    if mode == "verify-ca" and not ssl.get("ca") or params.get("ssl_verify_cert") and mode == "require":
        raise Unsupported("OPTIONS: to check the server's certificate the module needs the authority's file (ssl: ca)")
    tls_files(query)
    at, host = "", str(params.get("host") or "")
    if params.get("unix_socket"):
        query["socket"] = params["unix_socket"]
    # MySQL's client takes localhost for its unix socket.
    elif host not in ("", "localhost"):
        at = place(host, params.get("port"))
    name = params.get("database", params.get("db"))
    for key, value in {"NAME": name, "USER": params.get("user")}.items():
        if not value:
            raise Unsupported(f"the settings name no {key}, which the URL must have")
    if not params.get("password", params.get("passwd")):
        remarks.add("the settings hold no password of the database: if that is authentication by unix socket, the user "
                    "must have the name of httpd's user, see README.md")
    return url("mysql", params["user"], at, name, query)


URLS = {"sqlite": sqlite_url, "postgresql": postgresql_url, "mysql": mysql_url}


def database(connection, remarks):
    """The URL, and the password that does not stand in it."""
    if connection.vendor not in URLS:
        raise Unsupported(f"the module reads {', '.join(URLS)}, and this database is {connection.vendor}")
    # As the backend itself makes them of NAME, HOST, OPTIONS …
    params = dict(connection.get_connection_params())
    if connection.vendor == "mysql" and params.get("read_default_file"):
        file = mysql_file(params["read_default_file"], params.get("read_default_group"), remarks)
        params = {**file, **{key: value for key, value in params.items() if value not in (None, "")}}
    if connection.vendor != "sqlite":
        for key in connection.settings_dict.get("OPTIONS") or {}:
            if key not in CARRIED:
                reason = LEFT_OUT.get(key, "the module has nothing like it")
                remarks.add(f"OPTIONS {key!r} is left out: {reason}")
    where = URLS[connection.vendor](params, remarks)
    return where, str(params.get("password") or params.get("passwd") or "")


def fields(model):
    return {field.name: field for field in (*model._meta.concrete_fields, *model._meta.many_to_many)}


def chain(model):
    """The model and those parents whose primary key is its own, by value (multi-table inheritance)."""
    yield model
    link = model._meta.pk.remote_field
    if getattr(link, "parent_link", False):
        yield from chain(link.model._meta.concrete_model)


def stored(model, name):
    """The column of a field, and the model in whose table it is."""
    field = fields(model).get(name)
    if not getattr(field, "column", None):
        raise Unsupported(f"{model._meta.label}.{name} is not one column: needs query=")
    return field.column, field.model._meta.concrete_model


def table(model, connection):
    """As AuthDjangoUserModel has it: without the quotes that Django lets a db_table bring along."""
    name, quote = model._meta.db_table, connection.ops.quote_name("x")[0]
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] == quote else name


def flag(User, name):
    """The column of a boolean; None where the class has something else of that name, or nothing."""
    # The field first: Django before 4.0 leaves AbstractBaseUser's True in the class beside it.
    if name in fields(User) and not isinstance(getattr(User, name, None), property):
        return stored(User._meta.concrete_model, name)
    return None


def related(model, name, other):
    """A many-to-many relation to `other`, or to a model that extends it."""
    field = fields(model).get(name)
    if field is None or not field.many_to_many:
        return None
    ends = [field.model._meta.concrete_model, field.remote_field.model._meta.concrete_model]
    if other not in chain(ends[1]):
        raise Unsupported(f"{model._meta.label}.{name} leads to {ends[1]._meta.label}, where Django's permissions know "
                          f"{other._meta.label}: write the keys of AuthDjangoUserModel by hand")
    keys = [field.m2m_target_field_name(), field.m2m_reverse_target_field_name()]
    if ends[0] not in chain(model) or keys != [end._meta.pk.name for end in ends]:
        raise Unsupported(f"{model._meta.label}.{name} is not joined by the primary keys")
    return field


def user_model(User, connection, remarks):
    """Tables and columns, by the keys of AuthDjangoUserModel."""
    from django.contrib.auth.models import Group, Permission
    from django.contrib.contenttypes.models import ContentType

    model = User._meta.concrete_model
    if User is not model:
        remarks.add(f"{User._meta.label} is a proxy of {model._meta.label}")
    found = {"username": stored(model, User.USERNAME_FIELD), "password": stored(model, "password")}
    found.update((name, flag(User, name)) for name in ("is_active", "is_staff", "is_superuser"))
    if not found["is_active"] and getattr(User, "is_active", None) is not True:
        raise Unsupported(f"{User._meta.label}.is_active is computed: needs query=")
    for name in ("is_staff", "is_superuser"):
        if not found[name] and getattr(User, name, False) is not False:
            remarks.add(f"{User._meta.label}.{name} is no column: for the module nobody is, unless {name}= names one")

    # In one table of their own, or in that of one parent and the child's.
    others = {place[1] for place in found.values() if place} - {model}
    base = others.pop() if others else model
    if others or base not in chain(model):
        raise Unsupported(f"{model._meta.label} has its columns in more tables than a child's and its parent's: "
                          "needs query=")
    keys = {"table": table(base, connection), "id": base._meta.pk.column}
    child = "" if base is model else table(model, connection)
    if child:
        keys["child"] = f"{child}.{model._meta.pk.column}"
        if "." in model._meta.pk.column:
            raise Unsupported(f"child={keys['child']!r}: a column with a dot in its name: needs query=")
    for name, place in found.items():
        column, of = place or ("none", base)
        if place and column == "none" and name.startswith("is_"):
            raise Unsupported(f"a column of the name none cannot be {name}=: needs query=")
        keys[name] = column if of is base else f"{child}.{column}"

    groups, own = related(model, "groups", Group), related(model, "user_permissions", Permission)
    if groups:
        keys.update({
            "groups_table": table(groups.remote_field.through, connection),
            "groups_user_id": groups.m2m_column_name(),
            "groups_group_id": groups.m2m_reverse_name(),
            "group_table": table(Group, connection),
            "group_id": stored(Group, "id")[0],
            "group_name": stored(Group, "name")[0],
        })
    else:
        keys["groups_table"] = "none"
        remarks.add(f"{User._meta.label} has no groups: Require group lets nobody in")
    keys["permissions_table"] = "none"
    if own:
        keys.update({
            "permissions_table": table(own.remote_field.through, connection),
            "permissions_user_id": own.m2m_column_name(),
            "permissions_permission_id": own.m2m_reverse_name(),
        })
    if groups or own:
        by_group = Group._meta.get_field("permissions")
        keys.update({
            "group_permissions_table": table(by_group.remote_field.through, connection),
            "group_permissions_group_id": by_group.m2m_column_name(),
            "group_permissions_permission_id": by_group.m2m_reverse_name(),
            "permission_table": table(Permission, connection),
            "permission_id": stored(Permission, "id")[0],
            "permission_codename": stored(Permission, "codename")[0],
            "permission_content_type_id": stored(Permission, "content_type")[0],
            "content_type_table": table(ContentType, connection),
            "content_type_id": stored(ContentType, "id")[0],
            "content_type_app_label": stored(ContentType, "app_label")[0],
        })
    quote = connection.ops.quote_name("x")[0]
    for key, name in keys.items():
        # One pair is that of a schema: crm"."users
        if quote in name.replace(f"{quote}.{quote}", "", 1):
            raise Unsupported(f"{key}={name!r} is a name with quotes: needs query=")
    return keys


def schema(keys, quote):
    """The keys with schema=, where all tables are in the same one; else each may bring its own along."""
    divider = f"{quote}.{quote}"
    tables = [key for key, name in keys.items() if key == "child" or key.endswith("table") and name != "none"]
    schemas = {keys[key].rpartition(divider)[0] for key in tables}
    if len(schemas) > 1 or schemas == {""}:
        return keys
    start = schemas.pop() + divider
    bare = {key: name[len(start):] if name.startswith(start) else name for key, name in keys.items()}
    return {"schema": start[:-len(divider)], **bare}


def user_model_words(User, connection, keys):
    """AuthDjangoUserModel's words: the keys that differ from what the module takes by itself."""
    keys = schema(keys, connection.ops.quote_name("x")[0])
    meta = User._meta.concrete_model._meta
    rule = {
        "table": f"{meta.app_label}_{meta.model_name}", "id": "id",
        **{name: name for name in ("username", "password", "is_active", "is_staff", "is_superuser")},
        "groups_table": f"{keys['table']}_groups", "groups_user_id": f"{meta.model_name}_id",
        "groups_group_id": "group_id", "group_table": "auth_group", "group_id": "id", "group_name": "name",
        "permissions_table": f"{keys['table']}_user_permissions", "permissions_user_id": f"{meta.model_name}_id",
        "permissions_permission_id": "permission_id", "group_permissions_table": "auth_group_permissions",
        "group_permissions_group_id": "group_id", "group_permissions_permission_id": "permission_id",
        "permission_table": "auth_permission", "permission_id": "id", "permission_codename": "codename",
        "permission_content_type_id": "content_type_id", "content_type_table": "django_content_type",
        "content_type_id": "id", "content_type_app_label": "app_label",
    }
    return [meta.label] + [f"{key}={name}" for key, name in keys.items() if name != rule.get(key)]


def hashers(remarks):
    from django.contrib.auth.hashers import get_hashers

    words, preferred = {}, None
    for hasher in get_hashers():
        name, kind = hasher.algorithm, type(hasher)
        if name not in COSTS:
            remarks.add(f"hasher {name!r} ({kind.__qualname__}) is left out: the module does not know it, and its "
                        "users cannot log in here")
        elif name not in words:
            words[name] = name if preferred else name + COSTS[name].format(hasher)
            preferred = preferred or hasher
            if any(getattr(kind, method).__module__ != "django.contrib.auth.hashers" for method in ("encode", "verify")):
                remarks.add(f"{kind.__qualname__} hashes in its own way: the module hashes as Django's {name}")
    if not words:
        raise Unsupported("the module knows none of PASSWORD_HASHERS")
    if preferred is not get_hashers()[0]:
        remarks.add(f"the preferred hasher is one of those: {preferred.algorithm} takes its place")
    return list(words.values())


def differences(User, settings, remarks):
    """Where Django asks code of the project's, and the module only the database."""
    from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
    from django.contrib.auth.models import PermissionsMixin

    manager = User._default_manager
    for owner, kind, base, name in [
        (User, User, AbstractBaseUser, "check_password"),
        (User, User, PermissionsMixin, "has_perm"),
        (manager, type(manager), BaseUserManager, "get_by_natural_key"),
        (manager, type(manager), BaseUserManager, "get_queryset"),
    ]:
        if getattr(kind, name, getattr(base, name)) is not getattr(base, name):
            of = User._meta.label if owner is User else f"{User._meta.label}'s manager"
            remarks.add(f"{of} has a {name}() of its own, which the module does not call: whom it keeps out may get in")
    others = [path for path in settings.AUTHENTICATION_BACKENDS if path != MODEL_BACKEND]
    if others:
        remarks.add(f"AUTHENTICATION_BACKENDS are not asked for a password: {', '.join(others)}")


def write_secret(directory, name, secret):
    """The absolute path of a new file that only its owner can read, in place of an older one."""
    if re.search(r"[\x00\n]|\r$", secret):
        raise Unsupported("the password of the database has a line break, which no password file can hold")
    try:
        secret = secret.encode()
    except UnicodeEncodeError:
        raise Unsupported("the password of the database is not UTF-8") from None
    directory = os.path.abspath(directory)
    path = os.path.join(directory, name)
    word(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory)  # mode 0600, and never an existing file
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secret + b"\n")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    tell(f"wrote {path} (mode 0600)")
    return path


def grants(connection, keys, login):
    """SQL for a role that can do no more than needed: for logins and groups, or for what else there is."""
    child = keys.get("child", "").rpartition(".")[0]
    columns = {}

    def read(of, *names):
        for name in names:
            if keys.get(name, "none") != "none":
                inner = bool(child) and of == "table" and keys[name].startswith(child + ".")
                place, column = (child, keys[name][len(child) + 1:]) if inner else (keys[of], keys[name])
                columns.setdefault(place, []).append(column)

    if login:
        read("table", "id", "username", "password", "is_active", "child")
        read("groups_table", "groups_user_id", "groups_group_id")
        read("group_table", "group_id", "group_name")
    else:
        read("table", "is_staff", "is_superuser")
        read("permissions_table", "permissions_user_id", "permissions_permission_id")
        read("group_permissions_table", "group_permissions_group_id", "group_permissions_permission_id")
        read("permission_table", "permission_id", "permission_codename", "permission_content_type_id")
        read("content_type_table", "content_type_id", "content_type_app_label")
    quoted = connection.ops.quote_name
    name, quote = quoted(str(connection.settings_dict["NAME"])), quoted("x")[0]
    divider = f"{quote}.{quote}"
    if connection.vendor == "postgresql":
        role, here = "apache", ""
        if login:
            yield "CREATE ROLE apache LOGIN;"
            yield f"GRANT CONNECT ON DATABASE {name} TO apache;"
            for schema in dict.fromkeys(place.split(divider)[0] if divider in place else "public" for place in columns):
                yield f"GRANT USAGE ON SCHEMA {quoted(schema)} TO apache;"
    else:
        role, here = "'apache'@'%'", name + "."
        if login:
            yield f"CREATE USER {role} IDENTIFIED BY 'change me';"
    for place, names in columns.items():
        listed = ", ".join(map(quoted, dict.fromkeys(names)))
        yield f"GRANT SELECT ({listed}) ON {'' if divider in place else here}{quoted(place)} TO {role};"


def own(kind, base, *names):
    """Which of these a class does not have from Django's."""
    return [name for name in names if getattr(kind, name, None) is not getattr(base, name, None)]


def session_store(settings):
    """The class that keeps sessions, and the ENGINE by which the module knows it."""
    from importlib import import_module

    from django.contrib.sessions.backends.base import SessionBase

    store = import_module(settings.SESSION_ENGINE).SessionStore
    for engine in ("signed_cookies", "cached_db", "db", "file", "cache"):
        base = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
        if not issubclass(store, base):
            continue
        if engine == "cache":
            raise Unsupported(
                "SESSION_ENGINE keeps them in a cache alone, which only Python can read: cached_db keeps them in the "
                "database too, and costs Django no more"
            )
        different = own(store, base, "load", "decode", "session_key", "_get_session_from_db", "_key_to_file")
        if different:
            raise Unsupported(f"the SessionStore of {settings.SESSION_ENGINE} has a {different[0]}() of its own")
        return store, engine
    raise Unsupported(f"the SessionStore of {settings.SESSION_ENGINE} is none of Django's"
                      + ("" if issubclass(store, SessionBase) else ", nor a SessionBase"))


def session_table(store, connection):
    """The name of the table; the module knows Django's alone."""
    from django.db import router

    model = store.get_model_class()
    if model._meta.db_table != "django_session":
        raise Unsupported(f"they are in a table of their own, {model._meta.db_table}")
    alias = router.db_for_read(model)
    if alias != connection.alias:
        raise Unsupported(f"they are in another database, {alias!r}, than the users")


def session_backends(settings, remarks):
    """Those of AUTHENTICATION_BACKENDS that find the user of a session as ModelBackend does."""
    from django.contrib.auth.backends import ModelBackend
    from django.utils.module_loading import import_string

    found = []
    for path in settings.AUTHENTICATION_BACKENDS:
        kind = import_string(path)
        if issubclass(kind, ModelBackend) and not own(kind, ModelBackend, "get_user"):
            found.append(path)
        else:
            remarks.add(f"sessions that {path} has opened are none for the module, because it finds users in a way of "
                        "its own: add it to backends= if its get_user() takes them from the user model by their id")
    if not found:
        raise Unsupported("none of AUTHENTICATION_BACKENDS finds users as ModelBackend does")
    return found


def session_words(store, engine, connection, settings, remarks):
    """AuthDjangoSession's words: what differs from what the module takes by itself."""
    import django
    from django.contrib.sessions.serializers import JSONSerializer

    serializer = store().serializer
    if not issubclass(serializer, JSONSerializer) or own(serializer, JSONSerializer, "loads"):
        raise Unsupported("SESSION_SERIALIZER writes something else than JSON: set it to "
                          "django.contrib.sessions.serializers.JSONSerializer")
    words, salt = [engine], store().key_salt
    if settings.SESSION_COOKIE_NAME != "sessionid":
        words.append(f"cookie={settings.SESSION_COOKIE_NAME}")
    if engine == "file":
        path = os.path.abspath(store().storage_path)
        words.append(f"path={path}")
        if not settings.SESSION_FILE_PATH:
            remarks.add(f"sessions are in {path}, which may be another place for httpd (PrivateTmp of systemd): set "
                        "SESSION_FILE_PATH to a folder that httpd's user may read")
    age = settings.SESSION_COOKIE_AGE
    if engine in ("file", "signed_cookies") and age != 1209600:
        words.append(f"age={age}")
    if engine != "signed_cookies" and salt != "django.contrib.sessions.SessionStore":
        words.append(f"salt={salt}")
    # Django before 4.0 reads those of SHA-1 whatever it writes.
    if django.VERSION < (4, 0):
        words.append("legacy")
    backends = session_backends(settings, remarks)
    if backends != [MODEL_BACKEND]:
        words.append(f"backends={','.join(backends)}")
    # PostgreSQL's moments know their zone.
    if engine.endswith("db") and connection.vendor != "postgresql" and connection.timezone_name != "UTC":
        if not connection.timezone_name:
            raise Unsupported("USE_TZ is off and there is no TIME_ZONE: nobody else knows when they end")
        words.append(f"timezone={connection.timezone_name}")
    if settings.SESSION_COOKIE_PATH != "/":
        remarks.add(f"SESSION_COOKIE_PATH: browsers send the cookie below {settings.SESSION_COOKIE_PATH} alone")
    return words


def session_keys(settings, output):
    """The SOURCEs of AuthDjangoSecretKey, and the commands that make their files."""
    from django.conf import global_settings

    keys = {"SECRET_KEY": settings.SECRET_KEY}
    if hasattr(global_settings, "SECRET_KEY_FALLBACKS"):
        keys.update((f"SECRET_KEY_FALLBACKS[{n}]", key) for n, key in enumerate(settings.SECRET_KEY_FALLBACKS))
    sources, commands = [], []
    for name, key in keys.items():
        if not isinstance(key, str) or re.search(r"[\x00\r\n\ud800-\udfff]", key) or not key:
            raise Unsupported(f"{name} is not one line of text, as a file of AuthDjangoSecretKey must be")
        path = os.path.join(os.path.abspath(output), re.sub(r"\W+", "_", name.lower()).strip("_"))
        sources.append(word(f"file:{path}"))
        commands.append(f"DJANGO_SETTINGS_MODULE={shlex.quote(settings.SETTINGS_MODULE)} python -c "
                        f"'{PRINT_KEY.format(name)}' >{shlex.quote(path)}")
    return sources, commands


def login_url(settings, remarks):
    """LOGIN_URL, as redirect_to_login resolves it."""
    from django.shortcuts import resolve_url
    from django.utils.encoding import iri_to_uri

    try:
        found = resolve_url(settings.LOGIN_URL)
    except Exception:  # It runs the project's URLconf, where anything may fail.
        found = str(settings.LOGIN_URL)
    if re.match(r"/(?!/)|https?://", found):
        return iri_to_uri(found)
    remarks.add("LOGIN_URL is no address, and the name of no page that can be found here: write AuthDjangoLoginURL by "
                "hand")
    return None


def has_sessions(settings):
    from django.contrib.sessions.middleware import SessionMiddleware
    from django.utils.module_loading import import_string

    kinds = map(import_string, settings.MIDDLEWARE)
    return any(isinstance(kind, type) and issubclass(kind, SessionMiddleware) for kind in kinds)


def sessions(User, connection, settings, output, remarks):
    """Comments that become a place for whoever is logged in to the site, if it has sessions that the module can read."""
    from django.contrib.auth.base_user import AbstractBaseUser

    try:
        if not has_sessions(settings):
            return
        store, engine = session_store(settings)
        if engine.endswith("db"):
            session_table(store, connection)
        different = own(User, AbstractBaseUser, "get_session_auth_hash")
        if different:
            raise Unsupported(f"{User._meta.label} has a {different[0]}() of its own")
        words = " ".join(map(word, session_words(store, engine, connection, settings, remarks)))
        sources, commands = session_keys(settings, output)
        login = login_url(settings, remarks)
    except Exception as error:
        # Of the project's own words none are repeated.
        reason = str(error) if isinstance(error, Unsupported) else f"{type(error).__name__} in the project"
        remarks.add(f"sessions of the site cannot be read: {reason}")
        return
    yield from ["#", "# A place for whoever is logged in to the site. First make these files in the project's directory, as root, whose"]
    yield from ["# alone they must be: who can read them can be anybody.", "#"]
    yield comment(f"    umask 077; mkdir -p {shlex.quote(os.path.abspath(output))}", "#")
    yield from (comment(f"    {command}", "#") for command in commands)
    yield "#"
    yield comment(" ".join(["AuthDjangoSecretKey", *sources]), "#")
    yield from ['#<Location "/media">', "#    AuthType Basic", '#    AuthName "Media"', "#    AuthBasicProvider django"]
    yield comment(f"    AuthDjangoSession {words}", "#")
    if login:
        yield comment(f"    AuthDjangoLoginURL {word(login)}", "#")
    yield from ["#    AuthzSendForbiddenOnFailure On", '#    Require group "the name of a group"', "#</Location>"]
    if engine.endswith("db"):
        yield from session_rights(connection, settings)


def session_rights(connection, settings):
    """SQL for the sessions in the database."""
    columns = ", ".join(map(connection.ops.quote_name, ("session_key", "session_data", "expire_date")))
    table = connection.ops.quote_name("django_session")
    if connection.vendor == "postgresql":
        yield from ["#", "# For AuthDjangoSession:", f"#  GRANT SELECT ({columns}) ON {table} TO apache;"]
        # Every row would be read again after each request to the site.
        if not settings.SESSION_SAVE_EVERY_REQUEST:
            yield from ["#", "# And where watch= is used, one word more for its triggers:"]
            yield "#   psql … -v sessions=django_session -f authnz_django_watch.sql"
    elif connection.vendor == "mysql":
        where = connection.ops.quote_name(str(connection.settings_dict["NAME"])) + "." + table
        yield from ["#", "# For AuthDjangoSession:", f"#  GRANT SELECT ({columns}) ON {where} TO 'apache'@'%';"]


def export(alias, output):
    """The text of the configuration, and whether it is all that is needed."""
    import django
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connections, router
    from django.utils.connection import ConnectionDoesNotExist

    User, remarks, directives, end = get_user_model(), Remarks(), [], []
    alias = alias or router.db_for_read(User)
    try:
        connection = connections[alias]
        where, password = database(connection, remarks)
        directives.append("AuthDjangoDatabase " + word(where))
        keys = user_model(User, connection, remarks)
        directives.append(" ".join(map(word, ["AuthDjangoUserModel", *user_model_words(User, connection, keys)])))
        directives.append(" ".join(["AuthDjangoPasswordHashers", *hashers(remarks)]))
        differences(User, settings, remarks)
        if password:
            file = write_secret(output, re.sub(r"[^\w.-]", "_", alias) + ".password", password)
            directives.insert(1, "AuthDjangoDatabasePassword " + word(f"file:{file}"))
        complete = True
        end += ["#", "# A place to protect. One Require line: with valid-user beside it, either would do.", "#"]
        end += EXAMPLE
        if connection.vendor != "sqlite":
            end += ["#", "# Better than Django's own user, in the URL above: one that can do no more than needed."]
            end += [comment(line, "#  ") for line in grants(connection, keys, login=True)]
            end += ["#", "# And for Require django-staff, django-superuser and django-permission:"]
            end += [comment(line, "#  ") for line in grants(connection, keys, login=False)]
        end += sessions(User, connection, settings, output, remarks)
    except (Unsupported, ImproperlyConfigured, ConnectionDoesNotExist, OSError) as error:
        remarks.add(str(error))
        directives, complete = [comment(line, "#") for line in directives], False
        end = ["# This is not complete, and nothing in it holds: the last remark says why."]
    title = f"From {settings.SETTINGS_MODULE}, database {alias!r}, Django {django.get_version()}, by django_export.py."
    return "\n".join([comment(title), *map(comment, remarks), *directives, *end]), complete


def main():
    options = argparse.Namespace(
        settings=None,
        database=os.environ.get("DJANGO_EXPORT_DATABASE"),
        output=os.environ.get("DJANGO_EXPORT_OUTPUT", "authnz_django"),
    )
    if __name__ == "__main__":
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--settings", metavar="MODULE", help="the project's settings (DJANGO_SETTINGS_MODULE)")
        parser.add_argument("--database", metavar="ALIAS", help="of DATABASES (where the project reads its users)")
        parser.add_argument("--output", metavar="DIR", help="for files with secrets (authnz_django, in this directory)")
        parser.parse_args(namespace=options)
        if options.settings:
            os.environ["DJANGO_SETTINGS_MODULE"] = options.settings
        if not os.environ.get("DJANGO_SETTINGS_MODULE"):
            parser.error("say which settings: --settings mysite.settings, as in manage.py")
        sys.path.insert(0, os.getcwd())  # as manage.py has it
    # What fails in a project may quote its settings: its kind is told and no more.
    try:
        with contextlib.redirect_stdout(sys.stderr):  # of settings that print
            import django

            django.setup()
            text, complete = export(options.database, options.output)
    except Exception as error:
        missing = f" ({error.name})" if isinstance(error, ModuleNotFoundError) else ""
        tell(f"{type(error).__name__}{missing} in the project: `python manage.py check` says more")
        sys.exit(1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # as httpd's words must be, whatever the locale
    print(text)
    sys.exit(0 if complete else 1)


if __name__ != "django_export":  # manage.py shell runs this text under a name of its own
    main()
