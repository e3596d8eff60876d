"""Where rows come from and predictions go: readers of databases, files of columns, and what they have in common.

A reader is a query on one database: the names of its columns, and its rows in blocks, for which each is run anew
(``reader.Reader``). `addresses` opens what a user calls a database. Every driver is imported when it is used.
"""
