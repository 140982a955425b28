"""User models as sites have them: who logs in with an e-mail address has no user name, who took over an old
database has its names, and who had people before users has both in one."""
import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, Permission, PermissionsMixin
from django.db import models


class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "email"


class Odd(AbstractBaseUser, PermissionsMixin):
    """No name follows Django's rule, and each needs to be quoted: in SQL, in httpd's configuration."""

    serial = models.BigAutoField(primary_key=True, db_column="Serial No")
    login = models.CharField(max_length=160, unique=True, db_column="Log In")
    password = models.CharField(max_length=128, db_column="Pass\\Word")
    is_active = models.BooleanField(default=True, db_column="Is Active?")
    groups = models.ManyToManyField(Group, through="Membership", related_name="odd_set")
    user_permissions = models.ManyToManyField(Permission, related_name="odd_set")

    objects = BaseUserManager()

    USERNAME_FIELD = "login"

    class Meta:
        db_table = "Odd User's Täble"


class Membership(models.Model):
    who = models.ForeignKey(Odd, models.CASCADE, db_column="Who Is It")
    what = models.ForeignKey(Group, models.CASCADE, db_column="Which Group")

    class Meta:
        db_table = "Odd Members\\"


class Person(models.Model):
    """Somebody, with or without a login."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=160, unique=True)
    is_active = models.BooleanField(default=True)


class Employee(Person, AbstractBaseUser, PermissionsMixin):
    """In two tables (multi-table inheritance), with a UUID for a key."""

    is_staff = models.BooleanField(default=False)
    groups = models.ManyToManyField(Group, related_name="employee_set")
    user_permissions = models.ManyToManyField(Permission, related_name="employee_set")

    objects = BaseUserManager()

    USERNAME_FIELD = "name"


class Colleague(Employee):
    class Meta:
        proxy = True
