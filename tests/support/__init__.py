"""What several tests share; no tests of its own."""
