"""From a person's texts to a curriculum: reading, rows, topics, and the texts that the base model writes for them."""
