"""Reading rows: files of every kind, dataset folders and Hugging Face datasets, as the same rows with their places."""
