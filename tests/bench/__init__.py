"""mod_athena, stock httpd and the peers, measured in the same run and compared.

Each bench is a module with a TITLE, `run()` (measures; what it found, as JSON has it),
`section(found)` (its Markdown, with pictures drawn) and `summary(found)` (its lines of the page's
first table).
"""
