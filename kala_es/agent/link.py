"""The link's messages, by their old place."""

from kala_es.link import Acknowledge, Cancel, Chunk, Ended, Start, ToAgent, ToNode

__all__ = ["Acknowledge", "Cancel", "Chunk", "Ended", "Start", "ToAgent", "ToNode"]
