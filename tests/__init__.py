"""The tests; packages throughout, so that tests/sandbox does not hide sandbox."""
