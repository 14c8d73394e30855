"""The dangers of a change: one rule each, which `ops.review.dangers.register` runs."""
