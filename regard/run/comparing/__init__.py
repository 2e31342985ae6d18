"""One recipe under several mechanisms, side by side."""
