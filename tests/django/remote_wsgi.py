"""For gunicorn and mod_wsgi: the site of remote_settings.py."""
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "remote_settings")

from django.core.wsgi import get_wsgi_application  # noqa: E402

application = get_wsgi_application()
