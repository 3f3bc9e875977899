"""Readers of the files that people have: chats, mails, documents and tables, told apart by their content."""
