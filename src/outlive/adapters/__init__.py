"""Adapters hand Outlive to web frameworks: they translate and never decide."""
