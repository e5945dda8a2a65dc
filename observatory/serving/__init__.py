"""``observatory serve``: a folder of run files as local pages, for one person on one machine."""
