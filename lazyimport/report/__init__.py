"""Reports: what a person would rather look at, as values, and the pages that show them.

A page is one file that loads nothing. Its texts are anybody's: names of files and
modules, messages of Serve. They reach it as data and are never markup, and only the
script of this package runs in it.
"""
