"""A phone in the browser and in the terminal, for demo and development: it presses the sandbox's keys."""
