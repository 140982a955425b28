"""The user whom Apache lets in, for a Django site behind proxy.conf: copy what you need into the project.

Everywhere, AtLogin or Detached goes into MIDDLEWARE, the first two behind AuthenticationMiddleware and with one of the
backends below in AUTHENTICATION_BACKENDS. Whoever reaches the site past Apache is who the headers say: let it listen on
127.0.0.1.
"""
from django.contrib.auth.backends import AllowAllUsersRemoteUserBackend, RemoteUserBackend
from django.contrib.auth.middleware import PersistentRemoteUserMiddleware, RemoteUserMiddleware
from django.contrib.auth.models import AnonymousUser


def text(value):
    """What Apache sent as UTF-8: WSGI reads every header as Latin-1."""
    return value.encode("latin-1").decode("utf-8", "replace")


class Everywhere(RemoteUserMiddleware):
    """Every request says who it is: PROXY_LOGIN is "/"."""

    header = "HTTP_REMOTE_USER"


class AtLogin(PersistentRemoteUserMiddleware):
    """The login page alone says who it is, and begins a session."""

    header = "HTTP_REMOTE_USER"


class Backend(RemoteUserBackend):
    """Makes users whom this site does not know yet, and keeps their e-mail address."""

    def clean_username(self, username):
        return text(username)

    def configure_user(self, request, user, created=True):
        email = text(request.META.get("HTTP_REMOTE_EMAIL", ""))
        if user and email and user.email != email:
            user.email = email
            user.save(update_fields=["email"])
        return user


class KnownUsers(Backend):
    """Only users whom this site knows."""

    create_unknown_user = False


class InactiveToo(Backend, AllowAllUsersRemoteUserBackend):
    """Users who are not active in this site's own table, too."""


class RemoteUser(AnonymousUser):
    """A user of no table, who is what the headers say and has no permissions."""

    is_active = True
    is_anonymous = False
    is_authenticated = True

    def __init__(self, meta):
        self.username = text(meta["HTTP_REMOTE_USER"])
        self.email = text(meta.get("HTTP_REMOTE_EMAIL", ""))
        self.group_names = text(meta.get("HTTP_REMOTE_GROUPS", "")).split(",")

    def __str__(self):
        return self.username

    def __eq__(self, other):
        return isinstance(other, RemoteUser) and self.username == other.username

    def __hash__(self):
        return hash(self.username)

    def get_all_permissions(self, obj=None):
        return set()

    def has_perm(self, perm, obj=None):
        return False

    def has_module_perms(self, module):
        return False


class Detached:
    """A site without users: neither AuthenticationMiddleware nor a session is needed."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        known = request.META.get("HTTP_REMOTE_USER")
        request.user = RemoteUser(request.META) if known else AnonymousUser()
        return self.get_response(request)
