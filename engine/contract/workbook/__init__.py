"""The workbook of `mindprint-tui new`: drafts made from a person's texts, decisions, and the files made of both."""
