"""The problems of a checkout: those of its settings, and those of every app as every stack would run it."""
