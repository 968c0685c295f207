"""Another release in the place of this one: checked before it is unpacked, tried, and taken back where it fails.

An installed release is a folder; `current` is a link to one of them, and changes in one rename. Whatever is cut off in
the midst of it, `current` leads to a whole release. What a release on trial is judged by is the one before it.
"""
