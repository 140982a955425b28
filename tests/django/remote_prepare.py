"""Makes the tables that the site of remote_settings.py lacks, and the users named: "-bob" is not active."""
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "remote_settings")

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command

call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
for name in sys.argv[1:]:
    User.objects.create(username=name.lstrip("-"), is_active=not name.startswith("-"))
