"""The author's side: a tree in, an archive out."""
