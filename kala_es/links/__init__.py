"""The adapters of the link's port, and the bytes that its messages become."""
