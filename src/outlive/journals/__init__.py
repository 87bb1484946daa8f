"""Where the entries of runs are kept: one journal per run, alternatives behind one base."""
