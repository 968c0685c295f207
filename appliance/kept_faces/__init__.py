"""Faces that clients keep here under names of their own: face lists, and groups of people.

They are for comparing alone. Nobody in here is a person of the door: the door knows the gallery and nothing else, so
that whatever is kept here opens nothing. Of what is kept, only ids, times and numbers can be read in the file.
"""
