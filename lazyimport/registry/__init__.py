"""What a store remembers beside archives: channels, signatures, provenance, gc."""
