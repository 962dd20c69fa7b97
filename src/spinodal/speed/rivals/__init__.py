"""Other ways to make the same updates, each as good as we can write it."""
