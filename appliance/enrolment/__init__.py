"""Enrolment beyond a handful of photos: guided at the door's own camera, by invitation, in bulk."""
