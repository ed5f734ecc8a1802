"""Files that people have: tables in the usual formats, read row by row as a problem says."""
