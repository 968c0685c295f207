"""Who is enrolled: the gallery in SQLite, what the matcher sees of it, and how people enter and leave it."""
