"""Training: what ``fit`` and ``evaluate`` do with a model, a source of rows and what ``compile`` was given."""
