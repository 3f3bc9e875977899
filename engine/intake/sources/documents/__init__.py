"""Readers of documents: text, Markdown, HTML, Word, OpenDocument and PDF, as passages below their headings."""
