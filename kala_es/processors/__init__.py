"""The adapters of the processor's port."""
