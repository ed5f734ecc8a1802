"""Parts of a problem's file that say how the service answers; they shape no model."""
