#!/usr/bin/env python3
"""Where Django's user_passes_test sends whoever is not logged in, beside where we do.

Each line that comes is JSON: [LOGIN_URL, scheme and host, path and query, our answer]. Each line that goes is a
list of two, Django's answer and ours, each as page, sorted query and fragment.
"""
import json
import os
import sys
import urllib.parse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import session_sample

session_sample.for_python_3_11()

import django

django.setup()

from django.conf import settings
from django.contrib.auth.decorators import user_passes_test
from django.http import HttpRequest

# LOGIN_URL might be the name of a view.
settings.ROOT_URLCONF = __name__
urlpatterns = []


class Request(HttpRequest):
    """One whose address is what the client has sent, which Django knows only as WSGI has read it."""

    user = None

    def __init__(self, origin, path):
        super().__init__()
        self.origin, self.given = origin, path

    def get_full_path(self, force_append_slash=False):
        return self.given

    def build_absolute_uri(self, location=None):
        return self.origin + self.given


def parts(url):
    scheme, host, path, query, fragment = urllib.parse.urlsplit(url)
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    return [f"{scheme}://{host}{path}", sorted(pairs), fragment]


for line in sys.stdin:
    login_url, origin, path, ours = json.loads(line)
    answer = user_passes_test(lambda user: False, login_url=login_url)(None)(Request(origin, path))
    print(json.dumps([parts(answer.url), parts(ours)]), flush=True)
