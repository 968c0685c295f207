"""Backup and moving: what leaves a device sealed, and how it is put back.

`sealed` encrypts and signs a file, `archive` says what a backup holds, `restore` puts it in place, `templates` moves
people from door to door.
"""
