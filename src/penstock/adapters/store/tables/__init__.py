"""Tables, one file a noun, all on the one MetaData. Importing a file of rows imports its tables."""
