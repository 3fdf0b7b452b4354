"""Self-teachers: what they read (``context``, ``reprompt``), and how their weights follow (one file a kind)."""
