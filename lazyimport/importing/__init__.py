"""The import protocol over an open archive; never the network."""
