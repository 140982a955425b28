"""What Django serves in `make demo`: its own login page, and a page that shows who is logged in."""

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.generic import TemplateView

urlpatterns = [
    path("accounts/login/", LoginView.as_view()),
    path("accounts/logout/", LogoutView.as_view(next_page="/accounts/login/")),
    path("accounts/profile/", login_required(TemplateView.as_view(template_name="profile.html"))),
]
