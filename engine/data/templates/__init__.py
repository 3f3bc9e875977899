"""Chat templates: named ones for base models, how they end an answer, and where a conversation's answers stand."""
