"""Outlive's own web server."""
