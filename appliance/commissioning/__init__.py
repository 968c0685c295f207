"""Commissioning: the liveness is tried with people and with attacks before the very camera it will serve.

`sources` brings presentations, `trials` reads them as the door does, `session` goes through all that are wanted,
`judging` counts, `record` keeps the signed result, `clearance` tells the reader whether a face alone may open,
`report` draws the page.
"""
