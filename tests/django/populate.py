"""Makes the reference project's tables and its users, and prints them as JSON for the tests:

    {"model", "hashers": [accepted algorithms, preferred first], "groups": [names],
     "permissions": [app_label.codename, all that there are], "users": [
        {"username", "password", "kind", "groups": [names],
         "expect": what Django's check_password says to that password: true, false, null (no active user),
         "oracle": false for rows that nobody may ask Django about: it would never answer,
         "dropped": true for algorithms that Django 5.1 and later no longer have: ask Django 4.2,
         "slow": true for rows with Django's own cost instead of ours,
         "basic": false for names that Basic authentication cannot carry}]}

The same in every run: salts are made from the names.
"""
import base64
import hashlib
import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from argon2 import low_level as argon2
from django.contrib.auth import get_user_model, hashers
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import transaction

User = get_user_model()
EMAIL = User.USERNAME_FIELD == "email"
FIELDS = {field.name for field in User._meta.get_fields()}

GROUPS = [
    "secret-agents", "Secret-Agents", "SECRET-AGENTS", "top secret", " leading", "trailing ", "two  spaces",
    "Ärzte", "A\u0308rzte", "日本語", "groupes d'été", 'quo"ted', "back\\slash", "100%", "%{REMOTE_USER}", "%s%n",
    "a,b", "-dash", "valid-user", "'; DROP TABLE auth_group; --", "tab\there", "g" * 150, "ß" * 150, "permitted",
    "nobody is in it",
]

NAMES = [
    "Alice", "ALICE", "aLice", "bob smith", " leading", "trailing ", "müller", "José", "Jose\u0301", "日本語", "😀",
    "שלום", "zero\u200bwidth", "straße", "İstanbul", "K\u212a", "quo\"ted", "o'brien", "`tick`", "back\\slash",
    "\\", "per%cent", "%41", "%s%n%d", "%{REMOTE_USER}", "$1", "?", "@bind", "a@b.example", "a+b", "a/b", "a,b",
    "'; DROP TABLE auth_user; --", "' OR '1'='1", "<b>&amp;", "tab\there", "new\nline", "\x01\x1b[31mred",
    "#comment", "null", "None", "0", "-1", "n" * 150, "ü" * 150, "😀" * 150, "with:colon", "",
]

# Permissions of the project's own, beside those that Django makes for every model.
CODENAMES = ["sign.contracts", "View_group", "ünïcode", "VIEW_GROUP"]
DIRECT = ["auth.view_group", "auth.sign.contracts", f"{User._meta.app_label}.change_user"]
BY_GROUP = ["auth.View_group", "auth.ünïcode", "contenttypes.view_contenttype", f"{User._meta.app_label}.change_user"]

PASSWORDS = {
    "empty": "", "space": " ", "spaces": "  a  b  ", "colon": "a:b::c", "unicode": "pässwörd€😀",
    "latin-1": "ÿé", "decomposed": "e\u0301", "percent": "%41%", "quotes": "'\"\\", "long": "x" * 4096,
    "73 bytes": "y" * 73, "newline": "a\nb", "trailing newline": "secret\n", "looks like a hash": "!unusable",
}

MALFORMED = [
    "", " ", "secret", "$", "$$$", "$$$$", "x" * 128, "a" * 32, "md5$$", "md5$", "md5$salt", "md5$salt$", "md5$salt$zz",
    "sha1$$", "pbkdf2_sha256", "pbkdf2_sha256$", "pbkdf2_sha256$1000", "pbkdf2_sha256$1000$salt",
    "pbkdf2_sha256$1000$salt$", "pbkdf2_sha256$$salt$aGFzaA==", "pbkdf2_sha256$abc$salt$aGFzaA==",
    "pbkdf2_sha256$-1$salt$aGFzaA==", "pbkdf2_sha256$0$salt$aGFzaA==", "pbkdf2_sha256$1e3$salt$aGFzaA==",
    "pbkdf2_sha256$1000$salt$aGFzaA==$more", "pbkdf2_sha256$1000$$aGFzaA==", "pbkdf2_sha256$1000$salt$not base64!",
    "pbkdf2_sha256$99999999999999999999$salt$aGFzaA==", "PBKDF2_SHA256$1000$salt$aGFzaA==", "pbkdf2_sha512$1$s$aGFzaA==",
    "argon2", "argon2$", "argon2$argon2id", "argon2$argon2id$v=19$m=8,t=1,p=1", "argon2$argon2id$v=19$m=8,t=1,p=1$$",
    "argon2$argon2x$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA", "argon2$argon2id$v=19$m=,t=,p=$c2FsdHNhbHQ$aGFzaA",
    "argon2$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "argon2$argon2id$v=19$m=8,t=0,p=0$c2FsdHNhbHQ$aGFzaA",
    "argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA", "bcrypt", "bcrypt$", "bcrypt$$2b$", "bcrypt$$2b$04$short",
    "bcrypt$$2b$99$" + "a" * 53, "bcrypt$$2b$00$" + "a" * 53, "bcrypt_sha256$$2b$04$" + "!" * 53, "bcrypt_sha256$2b$04$x",
    "scrypt", "scrypt$1024$salt$8$1", "scrypt$3$salt$8$1$aGFzaA==", "scrypt$0$salt$0$0$aGFzaA==",
    "scrypt$1024$salt$8$1$", "scrypt$a$salt$b$c$aGFzaA==", "crypt$$ab1234567890.", "ünïcödé$1$salt$hash", "\x01\x02\x03",
]

B64_32 = base64.b64encode(b"h" * 32).decode()
B64_64 = base64.b64encode(b"h" * 64).decode()
PHC_32 = B64_32.rstrip("=")
BCRYPT_53 = "abcdefghijklmnopqrstue" + "a" * 31
POISONED = {
    "pbkdf2_sha256": "pbkdf2_sha256$2000000000$salt$" + B64_32,
    "pbkdf2_sha1": "pbkdf2_sha1$2000000000$salt$" + base64.b64encode(b"h" * 20).decode(),
    "argon2 t": "argon2$argon2id$v=19$m=1024,t=4294967295,p=1$c2FsdHNhbHQ$" + PHC_32,
    "argon2 m": "argon2$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$" + PHC_32,
    "argon2 p": "argon2$argon2id$v=19$m=134217720,t=3,p=16777215$c2FsdHNhbHQ$" + PHC_32,
    "bcrypt_sha256": "bcrypt_sha256$$2b$31$" + BCRYPT_53,
    "bcrypt": "bcrypt$$2b$31$" + BCRYPT_53,
    "scrypt n": "scrypt$1073741824$salt$8$1$" + B64_64,
    "scrypt r": "scrypt$1024$salt$1073741823$1$" + B64_64,
    "scrypt p": "scrypt$16384$salt$8$1073741823$" + B64_64,
}

users, rows, memberships, direct = [], [], [], []


def salt(name):
    return hashlib.sha256(name.encode()).hexdigest()[:22]


def encode(hasher, password, name):
    if hasher.algorithm.startswith("bcrypt"):
        # bcrypt's own salt: its cost, and 22 characters of which the last holds two bits.
        return hasher.encode(password, f"$2b${hasher.rounds:02d}${salt(name)[:21]}e".encode())
    return hasher.encode(password, salt(name))


def add(name, password, encoded, kind, *, active=True, groups=(), permissions=(), fields={}, expect=True, **flags):
    # PostgreSQL would refuse what SQLite takes: a row of the tests must fit into both.
    assert len(encoded) <= 128, encoded
    username = f"{name}@example.org" if EMAIL else name
    if "is_active" in FIELDS:
        fields = {**fields, "is_active": active}
    active = active or "is_active" not in FIELDS
    row = User(password=encoded, **{User.USERNAME_FIELD: username}, **fields)
    users.append(row)
    memberships.append(groups)
    direct.append(permissions)
    rows.append({
        "username": username, "password": password, "kind": kind, "groups": sorted(groups),
        "expect": expect if active else None, "oracle": True, "dropped": False, "slow": False,
        "basic": ":" not in username, **flags,
    })


def argon2_row(name, variant, version, cut=""):
    encoded = argon2.hash_secret(
        b"secret", salt(name).encode(), time_cost=1, memory_cost=64, parallelism=1, hash_len=32, type=variant, version=version
    ).decode()
    add(name, "secret", "argon2" + encoded.replace(cut, ""), "argon2 variant")


def hexdigest(algorithm, text):
    return getattr(hashlib, algorithm)(text.encode()).hexdigest()


accepted = hashers.get_hashers()
preferred = accepted[0]


def cheap(password, name):
    return encode(preferred, password, name)


# The three of the demo, and who is in which group.
add("alice", "alice secret", cheap("alice secret", "alice"), "person", groups=["secret-agents", "top secret", "Ärzte"])
add("bob", "bob secret", cheap("bob secret", "bob"), "person")
add("carol", "carol secret", cheap("carol secret", "carol"), "inactive", active=False, groups=["secret-agents"])
add("everywhere", "secret", cheap("secret", "everywhere"), "person", groups=GROUPS[:-1])

for hasher in accepted:
    algorithm = hasher.algorithm
    add(f"hasher-{algorithm}", "secret", encode(hasher, "secret", algorithm), "hasher", groups=["secret-agents"])
    if "bcrypt" not in algorithm:
        add(f"unicode-{algorithm}", "pässwörd€😀", encode(hasher, "pässwörd€😀", algorithm), "hasher")
    add(f"inactive-{algorithm}", "secret", encode(hasher, "secret", algorithm), "inactive", active=False)
    add(f"empty-{algorithm}", "", encode(hasher, "", algorithm), "password")

# Argon2 of every kind that the string can name: the type, the version, and the form before versions.
for variant in (argon2.Type.I, argon2.Type.D, argon2.Type.ID):
    for version in (16, 19):
        argon2_row(f"argon2-{variant.name}-{version}", variant, version)
argon2_row("argon2-no-version", argon2.Type.I, 16, cut="v=16$")

# Django's own cost, as a live site has it.
for path in ("PBKDF2PasswordHasher", "Argon2PasswordHasher", "BCryptSHA256PasswordHasher", "ScryptPasswordHasher"):
    hasher = getattr(hashers, path)()
    add(f"django-{hasher.algorithm}", "secret", encode(hasher, "secret", path), "cost", slow=True)

# What Django has dropped, as an old site's database still holds it.
for name, encoded in {
    "sha1": "sha1$seasalt$" + hexdigest("sha1", "seasalt" + "secret"),
    "unsalted_sha1": "sha1$$" + hexdigest("sha1", "secret"),
    "unsalted_md5": hexdigest("md5", "secret"),
    "unsalted_md5-prefix": "md5$$" + hexdigest("md5", "secret"),
}.items():
    add(f"dropped-{name}", "secret", encoded, "dropped", dropped=True)

for name in NAMES:
    add(name, f"password of {name}"[:60], cheap(f"password of {name}"[:60], name), "name", groups=GROUPS[1:2])
for name, password in PASSWORDS.items():
    add(f"password {name}", password, cheap(password, name), "password")

add("unusable", "secret", "!" + salt("unusable"), "unusable", expect=False, groups=["secret-agents"])
add("unusable-old", "secret", "!", "unusable", expect=False)
add("unusable-of-hash", "secret", "!" + cheap("secret", "unusable-of-hash"), "unusable", expect=False)
for index, encoded in enumerate(MALFORMED):
    add(f"malformed-{index:02d}", "secret", encoded, "malformed", expect=False)
# Right but for one thing: Django compares the whole text.
right = cheap("secret", "right").split("$")
if right[0] == "pbkdf2_sha256":
    for what, parts in {
        "zeros": [right[0], "0" + right[1], *right[2:]], "plus": [right[0], "+" + right[1], *right[2:]],
        "space": [right[0], " " + right[1], *right[2:]], "arabic": [right[0], "١٠٠٠", *right[2:]],
        "unpadded": [*right[:3], right[3].rstrip("=")], "newline": [*right[:3], right[3] + "\n"],
        "upper": [right[0].upper(), *right[1:]], "extra": [*right, ""],
        "cut": [*right[:3], base64.b64encode(base64.b64decode(right[3])[:16]).decode()],
    }.items():
        add(f"almost-{what}", "secret", "$".join(parts), "malformed", expect=False)
for name, encoded in POISONED.items():
    add(f"poisoned {name}", "secret", encoded, "poisoned", expect=False, oracle=False)

# Who may do what: every way to a permission, with and without the flags.
for number in range(32):
    active, staff, superuser = (not number & 1, bool(number & 2), bool(number & 4))
    fields = {"is_superuser": superuser}
    if "is_staff" in FIELDS:
        fields["is_staff"] = staff
    name = f"permission-{number:02d}"
    add(
        name, "secret", cheap("secret", name), "permission", active=active, fields=fields,
        permissions=DIRECT if number & 8 else (), groups=["permitted"] if number & 16 else (),
    )

call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
with transaction.atomic():
    groups = {name: Group(name=name) for name in GROUPS}
    Group.objects.bulk_create(groups.values())
    if User._meta.concrete_model._meta.parents:
        # Django makes no rows of two tables in bulk.
        for user in users:
            user.save(force_insert=True)
    else:
        User.objects.bulk_create(users)
    # Not every database tells the keys of rows made in bulk (Django 3.2 on an old SQLite).
    user_ids = dict(User.objects.values_list(User.USERNAME_FIELD, "pk"))
    group_ids = dict(Group.objects.values_list("name", "pk"))
    Membership = User.groups.through
    user_id = User.groups.field.m2m_field_name() + "_id"
    group_id = User.groups.field.m2m_reverse_field_name() + "_id"
    Membership.objects.bulk_create(
        Membership(**{user_id: user_ids[row["username"]], group_id: group_ids[name]})
        for row, names in zip(rows, memberships)
        for name in names
    )
    content_type = ContentType.objects.get_for_model(Group)
    for codename in CODENAMES:
        Permission.objects.create(content_type=content_type, codename=codename, name=codename)
    permission_ids = {
        f"{app_label}.{codename}": key
        for app_label, codename, key in Permission.objects.values_list("content_type__app_label", "codename", "pk")
    }
    Group.objects.get(name="permitted").permissions.add(*(permission_ids[name] for name in BY_GROUP))
    Direct = User.user_permissions.through
    user_id = User.user_permissions.field.m2m_field_name() + "_id"
    permission_id = User.user_permissions.field.m2m_reverse_field_name() + "_id"
    Direct.objects.bulk_create(
        Direct(**{user_id: user_ids[row["username"]], permission_id: permission_ids[name]})
        for row, names in zip(rows, direct)
        for name in names
    )

json.dump(
    {"model": User._meta.label, "hashers": [hasher.algorithm for hasher in accepted], "groups": GROUPS,
     "permissions": sorted(permission_ids), "users": rows},
    sys.stdout,
)
print()
