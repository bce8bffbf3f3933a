"""Small architectures that the rules were not written for, with the families derived by hand."""
