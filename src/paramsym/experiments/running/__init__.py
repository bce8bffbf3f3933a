"""Running tasks to the end, wherever, and keeping what they find."""
