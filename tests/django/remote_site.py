"""What the site of remote_settings.py answers: who asks, as Django knows it and as it arrived."""
import mimetypes
import os

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.http import HttpResponse, HttpResponseForbidden, JsonResponse
from django.urls import path, re_path
from django.utils._os import safe_join


def whoami(request):
    """Everything that a test compares."""
    user = request.user
    return JsonResponse({
        "user": user.get_username(),
        "authenticated": user.is_authenticated,
        "email": getattr(user, "email", None),
        "groups": getattr(user, "group_names", None),
        "may": user.has_perm("auth.view_group"),
        "users": User.objects.count(),
        "script": request.META["SCRIPT_NAME"],
        "secure": request.is_secure(),
        "host": request.get_host(),
        "address": request.build_absolute_uri("/"),
        "cookies": sorted(request.COOKIES),
        "process": os.environ.get("REMOTE_PROCESS"),
        "meta": {
            name: value
            for name, value in request.META.items()
            if name.startswith(("HTTP_", "REMOTE_USER", "AUTHENTICATE_"))
        },
    })


def login(request):
    """Opens a session for whoever proves to be a user, as a site's login form does."""
    user = auth.authenticate(request, username=request.GET["username"], password=request.GET["password"])
    if user is None:
        return HttpResponseForbidden()
    auth.login(request, user)
    return HttpResponse()


def may(request):
    """For a server that asks before it serves."""
    return HttpResponse(status=204 if request.user.is_authenticated else 401)


def download(request, name):
    """Decides, and leaves the file itself to mod_xsendfile."""
    if not request.user.has_perm("auth.view_group"):
        return HttpResponseForbidden()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return HttpResponse(content_type=kind, headers={"X-Sendfile": safe_join(settings.REMOTE_FILES, name)})


urlpatterns = [
    path("open-session/", login),
    path("may/", may),
    path("downloads/<path:name>", download),
    # Where the example does not let a view name a file.
    path("elsewhere/<path:name>", download),
    re_path("", whoami),
]
