"""The verdict on a challenger, and what it rests on."""
