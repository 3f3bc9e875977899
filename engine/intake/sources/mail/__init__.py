"""Readers of mails: mailboxes, folders of mails and single ones."""
