"""What is wrong with a checkout: its settings, and every app as every stack would run it."""
