"""Fixtures that tests of several modules share."""
