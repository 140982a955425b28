"""What an administrator has today, for comparison: WSGIAuthUserScript and WSGIAuthGroupScript.

Needs DJANGO_DB in httpd's own environment, and in its configuration
    WSGIPythonHome …/target/venv
    WSGIPythonPath …/tests/django
"""
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

# Without it Django's handler answers with AppRegistryNotReady, though its documentation leaves it out.
django.setup()

from django.contrib.auth.handlers.modwsgi import check_password, groups_for_user  # noqa: E402,F401
