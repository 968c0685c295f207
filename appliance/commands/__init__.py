"""The verbs of the command line, one file a noun, over the same use-cases as MQTT and web."""
