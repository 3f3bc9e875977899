"""Forms of rows: conversations, prompts with answers, pairs and questions, as other programs write them."""
