"""Files: local folders, names on the Hugging Face Hub, and the assets that come with the package."""
