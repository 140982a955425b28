"""A site that keeps its users in a schema of their own (on MySQL, another database), away from Django's
tables; and deletes who leaves, so that nobody is ever inactive."""
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models

# Django puts its quotes around all of it.
QUOTE = "`" if "mysql" in settings.DATABASES["default"]["ENGINE"] else '"'


class User(AbstractBaseUser, PermissionsMixin):
    login = models.CharField(max_length=160, unique=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "login"

    class Meta:
        db_table = f"crm{QUOTE}.{QUOTE}people"
