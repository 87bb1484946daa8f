"""Sources turn something that happens into entries of a run."""
