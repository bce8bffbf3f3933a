"""What tasks compute, and how their arrays are read."""
