"""Readers of chats: lines with dates and names, and the JSON of chat programs."""
