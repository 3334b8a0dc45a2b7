"""How the model that serves does, once for each business date: figures, what they are held to, and alarms.

figures.py says what is measured, matured.py measures on loans whose outcome is known, applicants.py on who asks,
running.py on how it runs; night.py claims the date, keeps the figures and calls a person.
Source: docs/operations.md, "The model's health".
"""
