"""``lazyimport demo``: the whole story on this machine, told line by line.

`story` tells it; `application` writes the program that plays in it; `workers`
are the places it runs, Ray's or plain processes; `inside` is what those run.
"""
