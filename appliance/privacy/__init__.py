"""Privacy: how long people are kept, what is held of them, and handing it out.

`retention` says when somebody is due, `purge` erases them, `report` tells an auditor what is held, `export` gives one
person everything of theirs.
"""
