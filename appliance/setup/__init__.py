"""The set-up: questions one after another, and out of the answers an `appliance.toml`.

What is asked and what an answer changes is pure: `questions`. The terminal is `commands/setup.py`.
"""
