"""What Ostiary is made of: a bill of materials, the licences in it, and which known holes."""
