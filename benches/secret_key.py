"""Prints the site's SECRET_KEY: run in target/venv."""
from django.conf import settings

print(settings.SECRET_KEY)
