"""What scripts/fuzz.py plays: odd inputs of each kind, a judge of what comes of them, and the processes they run in."""
