"""The doors of this part."""

urlpatterns: list = []
