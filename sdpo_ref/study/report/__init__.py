"""The report: from the store to one HTML page and one Markdown file.

``figures`` draws, ``contents`` collects what is on the page, ``page`` renders it, ``files`` writes it.
"""
